"""The service itself on a running stack: schema and topics made, two consumers and the HTTP endpoint started.

Every part keeps to what an installation elsewhere would have: each is a process of its own with its own environment;
on a cluster of ours the consumers have a service account with the few rights they need, and the endpoint has a login
that can read two views. All are ended in order. Evaluations are made by `play/orchestrator.py`.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aioboto3

from deploy.local.kafka.broker import delete_topics, ensure_topics
from deploy.local.kubernetes.admin import administrator, create_namespace, delete_namespace, with_rights
from deploy.local.processes.plain_http import succeeds
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import Child
from deploy.local.services.issuer import Issuer, issuer
from deploy.local.stand.endpoint import Endpoint, endpoint
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX
from evaluation_cancel.schemas.topics import Topics

CLUSTER = "local"
"""The cluster's name, as the orchestrator writes it into evaluations and the consumers' settings know it."""
DATABASE = "evaluations"
BUCKET = "evaluations"
CONSUMERS = ("consumer-1", "consumer-2")
ALL_BUT_INTAKE = "teardown,cleanup,outbox,reconcile"

SHORT_LEASES: Mapping[str, str] = {
    "TEARDOWN_LEASE": "5",
    "CALL_TIMEOUT": "2.5",
    "POSTGRES_STATEMENT_TIMEOUT": "3",
    "POSTGRES_LOCK_TIMEOUT": "1",
    "OUTBOX_LEASE": "4",
    "PUBLISH_TIMEOUT": "3",
}
"""For the demo: a survivor takes over within seconds instead of a minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumer:
    """One process of `python -m evaluation_cancel.consumer run`."""

    name: str
    child: Child
    port: int
    reads_commands: bool

    @property
    def url(self) -> str:
        """Of /healthz, /readyz and /metrics."""
        return f"http://{LOOPBACK}:{self.port}"

    async def is_ready(self) -> bool:
        return await succeeds(f"{self.url}/readyz")


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """What runs, and what any other program needs to know to take part."""

    stack: Stack
    dsn: str
    kafka: KafkaSettings
    namespace: str
    environment: Mapping[str, str]
    """For the command lines of both sides and every further process."""
    tokens: Issuer
    """Whom the HTTP endpoint trusts."""
    consumers: dict[str, Consumer] = field(default_factory=dict)
    endpoints: list[Endpoint] = field(default_factory=list)

    @property
    def topics(self) -> Topics:
        return self.kafka.topics


@asynccontextmanager
async def system(stack: Stack, *, settings: Mapping[str, str] | None = None) -> AsyncIterator[System]:
    """The running system. `settings`: further ones for the consumers, without their prefix."""
    async with _namespace(stack) as namespace, issuer() as tokens:
        running = await _prepared(stack, namespace, tokens, settings or {})
        try:
            for name in CONSUMERS:
                running.consumers[name] = start_consumer(running, name)
            async with endpoint(stack, running.dsn, running.kafka, tokens) as served:
                running.endpoints.append(served)
                await asyncio.gather(*(each.child.ready(each.is_ready) for each in running.consumers.values()))
                yield running
        finally:
            await asyncio.gather(*(_stop(each) for each in running.consumers.values()))
            if stack.kafka.kind == "given":
                await delete_topics(stack.kafka, running.topics.specs())


async def _prepared(stack: Stack, namespace: str, tokens: Issuer, settings: Mapping[str, str]) -> System:
    """Everything that has to be there before the first process is started."""
    dsn = await stack.postgres.create_database(DATABASE)
    kafka = _kafka_settings(stack)
    kubeconfig, *_ = await asyncio.gather(
        _kubeconfig(stack),
        schema.upgrade(PostgresLogin.at(dsn)),
        ensure_topics(stack.kafka, kafka.topics.specs()),
        _bucket(stack),
    )
    environment = _environment(stack, dsn, kafka, kubeconfig, settings)
    return System(stack=stack, dsn=dsn, kafka=kafka, namespace=namespace, environment=environment, tokens=tokens)


def _kafka_settings(stack: Stack) -> KafkaSettings:
    return KafkaSettings(
        kafka_bootstrap_servers=stack.kafka.bootstrap_servers,
        # A broker of the user's own may hold the topics of a real system.
        topic_prefix=f"stand-{secrets.token_hex(3)}-" if stack.kafka.kind == "given" else "",
        kafka_isolation_level="read_uncommitted" if stack.kafka.kind == "memory" else "read_committed",
    )


def start_consumer(running: System, name: str) -> Consumer:
    """Start one of the consumers, the first time or anew after its end, and do not wait."""
    port = free_port()
    own = {f"{ENVIRONMENT_PREFIX}WORKER": name, f"{ENVIRONMENT_PREFIX}HTTP_PORT": str(port)}
    # With two members the in-memory broker may end a rebalance before the second one has asked for its share, which
    # is then refused, again and again. There the first consumer alone reads commands; all other work is shared.
    reads_commands = running.stack.kafka.kind != "memory" or name == CONSUMERS[0]
    loops = () if reads_commands else ("--loops", ALL_BUT_INTAKE)
    child = running.stack.work.start(
        name,
        [sys.executable, "-m", "evaluation_cancel.consumer", "run", *loops],
        environment={**running.environment, **own},
    )
    return Consumer(name=name, child=child, port=port, reads_commands=reads_commands)


async def _stop(consumer: Consumer) -> None:
    if consumer.child.running:
        await consumer.child.stop(patience=25)


@asynccontextmanager
async def _namespace(stack: Stack) -> AsyncIterator[str]:
    """For the Jobs. In a cluster of the user's own it gets a name of its own and is deleted at the end."""
    given = stack.cluster.kind == "given"
    name = f"evaluations-{secrets.token_hex(3)}" if given else "evaluations"
    async with administrator(stack.cluster) as client:
        await create_namespace(client, name)
        try:
            yield name
        finally:
            if given:
                with suppress(Exception):  # the cluster may be away by now
                    await delete_namespace(client, name)


async def _bucket(stack: Stack) -> None:
    s3 = stack.s3
    session = aioboto3.Session(s3.access_key, s3.secret_key, region_name=s3.region)
    async with session.client("s3", endpoint_url=s3.endpoint_url) as client:
        await client.create_bucket(Bucket=BUCKET)


async def _kubeconfig(stack: Stack) -> Path:
    """With the consumer's few rights; in a cluster of the user nothing is granted."""
    if stack.cluster.kind == "given":
        return stack.cluster.kubeconfig
    return (await with_rights(stack.cluster, stack.work.directory, "evaluation-cancel")).kubeconfig


def _environment(
    stack: Stack, dsn: str, kafka: KafkaSettings, kubeconfig: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    named = {
        "POSTGRES_DSN": dsn,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "KAFKA_ISOLATION_LEVEL": kafka.kafka_isolation_level,
        "TOPIC_PREFIX": kafka.topic_prefix,
        "CLUSTERS": json.dumps({CLUSTER: {"kubeconfig": str(kubeconfig), "disable_strict_ssl_verification": True}}),
        "S3_ENDPOINT_URL": stack.s3.endpoint_url,
        "S3_REGION": stack.s3.region,
        "S3_PATH_STYLE": "true",
        "HTTP_HOST": LOOPBACK,
        **settings,
    }
    return {
        **{f"{ENVIRONMENT_PREFIX}{name}": value for name, value in named.items()},
        "AWS_ACCESS_KEY_ID": stack.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.s3.secret_key,
    }


def newest_log_lines(running: System, lines: int = 5) -> str:
    """The last log lines of each consumer, for the message of a failed check."""
    return "\n".join(f"{each.name}: {line}" for each in running.consumers.values() for line in _tail(each, lines))


def _tail(consumer: Consumer, lines: int) -> list[str]:
    if not consumer.child.running:
        return ["is not running", *consumer.child.tail(lines).splitlines()]
    return consumer.child.tail(lines).splitlines()
