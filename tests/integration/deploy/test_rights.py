"""The grants of docs/rights.md, carried out as they stand there, are enough for each login, and not for more."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
import yaml

from deploy.local.kubernetes.admin import CONSUMER_RULES
from deploy.local.stand.stack import Stack
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.topics import Topics
from tests.support.environment import unique
from tests.support.waiting import until

RIGHTS = (Path(__file__).parents[3] / "docs" / "rights.md").read_text()
NAMES = ("consumer", "orchestrator", "endpoint")


def block(language: str) -> str:
    (found,) = re.findall(f"```{language}\n(.*?)```", RIGHTS, re.DOTALL)
    return str(found)


@dataclass(frozen=True, kw_only=True)
class Logins:
    """DSNs of logins that have been granted what the page says."""

    consumer: str
    orchestrator: str
    endpoint: str


@pytest.fixture
async def logins(database: str) -> AsyncIterator[Logins]:
    roles = {name: unique(name).replace("-", "_") for name in NAMES}
    owner = await asyncpg.connect(database)
    for role in roles.values():
        await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await owner.execute(re.sub(r"TO (\w+);", lambda found: f"TO {roles[found[1]]};", block("sql")))
    parts = urlsplit(database)
    place = f"{parts.hostname}:{parts.port}"
    yield Logins(**{n: parts._replace(netloc=f"{r}:secret@{place}").geturl() for n, r in roles.items()})
    for role in roles.values():
        await owner.execute(f"DROP OWNED BY {role}")
        await owner.execute(f"DROP ROLE {role}")
    await owner.close()


async def ask(dsn: str, query: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchrow(query, *arguments)
    finally:
        await connection.close()


async def register(dsn: str) -> UUID:
    made = uuid4()
    query = "SELECT * FROM evaluation_cancel.register($1, 't', 'b', 'evals/', 'r')"
    assert (await ask(dsn, query, made))["done"]
    return made


async def test_the_orchestrator_can_call_its_four_functions(logins: Logins) -> None:
    made = await register(logins.orchestrator)
    for call, answer in (
        ("starting($1, 'c', 'n', 'j')", "starting"),
        ("attach_job($1, 'u')", "attached"),
        ("report($1, 'running')", "running"),
    ):
        row = await ask(logins.orchestrator, f"SELECT * FROM evaluation_cancel.{call}", made)
        assert (row["done"], row["answer"]) == (True, answer)


async def test_the_orchestrator_cannot_open_a_fence(logins: Logins) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(logins.orchestrator, "DELETE FROM evaluation_cancel.cancellations")


async def test_the_endpoint_reads_two_views_and_no_table(logins: Logins) -> None:
    for view in ("command_answers", "cancellation_progress"):
        await ask(logins.endpoint, f"SELECT * FROM evaluation_cancel.{view}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(logins.endpoint, "SELECT * FROM evaluation_cancel.evaluations")


async def test_a_consumer_does_its_work_with_what_it_is_granted(
    environment: Stack, topics: Topics, logins: Logins
) -> None:
    memory = environment.kafka.kind == "memory"
    named = {
        "POSTGRES_DSN": logins.consumer,
        "KAFKA_BOOTSTRAP_SERVERS": environment.kafka.bootstrap_servers,
        "KAFKA_ISOLATION_LEVEL": "read_uncommitted" if memory else "read_committed",
        "TOPIC_PREFIX": topics.prefix,
        "GROUP_ID": unique("rights"),
        "CLUSTERS": json.dumps({"c": {"kubeconfig": str(environment.cluster.kubeconfig)}}),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
    }
    settings = {f"EVALUATION_CANCEL_{name}": value for name, value in named.items()}
    made = await register(logins.orchestrator)
    status = "SELECT status FROM evaluation_cancel.evaluations WHERE id = $1"
    waiting = "SELECT count(*) AS count FROM evaluation_cancel.outbox"
    child = environment.work.start(
        "rights", [sys.executable, "-m", "evaluation_cancel.consumer", "run"], environment=settings
    )
    try:
        client = {"bootstrap_servers": environment.kafka.bootstrap_servers}
        async with Publisher(client=client, source="/tests", topics=topics) as publisher:
            await publisher.cancel(made, RequestedBy(kind="user", id="ada", team_ids=("t",)), cleanup_artifacts=True)

        async def done() -> bool:
            ended = (await ask(logins.consumer, status, made))["status"] == "cancelled"
            return ended and (await ask(logins.consumer, waiting))["count"] == 0

        await until(done)
    finally:
        await asyncio.shield(child.stop())
    assert "permission denied" not in child.log.read_text()


def test_the_page_grants_on_kubernetes_what_the_local_system_grants() -> None:
    role = yaml.safe_load(block("yaml"))
    assert role["rules"] == [dict(rule) for rule in CONSUMER_RULES]


def test_the_policy_for_s3_is_json_and_reads_or_writes_no_object() -> None:
    policy = json.loads(block("json"))
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert not actions & {"s3:GetObject", "s3:PutObject", "s3:*"}
