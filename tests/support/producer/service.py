"""The endpoint with a consumer behind it, and evaluations in the states that tests need."""

import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from deploy.local.kafka.broker import Kafka, ensure_topics
from deploy.local.processes.plain_http import plain_client
from deploy.local.processes.process import Child
from deploy.local.services.issuer import Issuer
from deploy.local.stand.endpoint import Endpoint, endpoint
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX
from tests.support.waiting import until

TEAM = "team-7"
UNSERVED_CLUSTER = "a-cluster-without-consumers"
"""No consumer works on this cluster, so a cancellation there stays open until a test ends it."""
FAST: Mapping[str, str] = {"ENDPOINT_REQUESTS_PER_SECOND": "10000", "ENDPOINT_BURST": "10000"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A running endpoint, and steps of its clients, of the orchestrator and of an operator."""

    stack: Stack
    dsn: str
    kafka: KafkaSettings
    tokens: Issuer
    endpoint: Endpoint
    database: Any

    @property
    def url(self) -> str:
        return self.endpoint.url

    def client(self, user: str = "ada", teams: tuple[str, ...] = (TEAM,), url: str | None = None) -> httpx.AsyncClient:
        """An HTTP client with a valid token of this user."""
        return self.client_with(f"Bearer {self.tokens.token(user, teams)}", url)

    def client_with(self, authorization: str | None, url: str | None = None) -> httpx.AsyncClient:
        """An HTTP client with this Authorization header."""
        headers = {} if authorization is None else {"authorization": authorization}
        return plain_client(url or self.url, headers=headers, timeout=90)

    async def evaluation(self, team: str = TEAM) -> UUID:
        """Create an evaluation without a Job: a command cancels it at once."""
        made = uuid.uuid4()
        await self.database.execute(
            "SELECT evaluation_cancel.register($1, $2, 'b', $3, 'r')", made, team, f"evals/{made}/"
        )
        return made

    async def slow_evaluation(self, team: str = TEAM) -> UUID:
        """Create an evaluation whose cancellation stays open until `end`."""
        made = await self.evaluation(team)
        await self.database.execute("SELECT evaluation_cancel.starting($1, $2, 'n', 'job')", made, UNSERVED_CLUSTER)
        return made

    async def report(self, evaluation: UUID, status: str) -> None:
        await self.database.execute("SELECT evaluation_cancel.report($1, $2)", evaluation, status)

    async def end(self, evaluation: UUID, outcome: Any = "cancelled") -> None:
        """Resolve the open cancellation by hand, as an operator does."""
        pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=1)
        try:
            await resolve(
                Database(pool),
                OutcomeEvents(
                    events_topic=self.kafka.topics.events,
                    dead_letter_topic=self.kafka.topics.dead_letters,
                    source="urn:tests",
                ),
                evaluation,
                Resolution(outcome=outcome, operator="a test", reason="it is over"),
                cleanup_deadline=timedelta(days=1),
            )
        finally:
            await pool.close()

    async def opened(self, evaluation: UUID) -> None:
        """Wait until the evaluation has an open cancellation."""
        await until(lambda: self.count("cancellations", evaluation))

    async def count(self, table: str, evaluation: UUID) -> int:
        query = f"SELECT count(*) FROM evaluation_cancel.{table} WHERE evaluation_id = $1"
        counted: int = await self.database.fetchval(query, evaluation)
        return counted


@asynccontextmanager
async def service(
    stack: Stack, dsn: str, topic_prefix: str, tokens: Issuer, *, settings: Mapping[str, str] = FAST
) -> AsyncIterator[Service]:
    """Run an endpoint and a consumer on a migrated database, until the context ends."""
    kafka = kafka_settings(stack.kafka, topic_prefix)
    await ensure_topics(stack.kafka, kafka.topics.specs())
    async with AsyncExitStack() as parts:
        child = start_consumer(stack, dsn, kafka)
        parts.push_async_callback(child.stop)
        started = await parts.enter_async_context(endpoint(stack, dsn, kafka, tokens, settings=settings))
        database = await asyncpg.create_pool(dsn, min_size=1, max_size=4)
        parts.push_async_callback(database.close)
        made = Service(stack=stack, dsn=dsn, kafka=kafka, tokens=tokens, endpoint=started, database=database)
        await _warm(made)
        yield made


async def _warm(made: Service) -> None:
    """Wait until the consumer has its partitions, so that the first test does not wait for them."""
    async with made.client() as client:
        answer = await client.post(f"/v1/evaluations/{await made.evaluation()}/cancel", headers={"prefer": "wait=55"})
        log = made.stack.work.directory / "endpoint-consumer.log"
        assert answer.status_code == 200, f"{answer.text}\n{log.read_text()[-3000:]}"


def kafka_settings(kafka: Kafka, topic_prefix: str) -> KafkaSettings:
    """The settings for a broker of the environment."""
    return KafkaSettings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=topic_prefix,
        kafka_isolation_level="read_uncommitted" if kafka.kind == "memory" else "read_committed",
    )


def start_consumer(stack: Stack, dsn: str, kafka: KafkaSettings) -> Child:
    named = {
        "POSTGRES_DSN": dsn,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "KAFKA_ISOLATION_LEVEL": kafka.kafka_isolation_level,
        "TOPIC_PREFIX": kafka.topic_prefix,
        "CLUSTERS": json.dumps({"environment": {"kubeconfig": str(stack.cluster.kubeconfig)}}),
        "CLEANUP_ENABLED": "false",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
    }
    environment = {f"{ENVIRONMENT_PREFIX}{name}": value for name, value in named.items()}
    return stack.work.start(
        "endpoint-consumer", [sys.executable, "-m", "evaluation_cancel.consumer", "run"], environment=environment
    )
