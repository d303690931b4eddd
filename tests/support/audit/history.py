"""A short history of the real service, archived, with each decision and outcome once. All audit tests share it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import aioboto3
import asyncpg
from aiokafka import AIOKafkaProducer

from deploy.local.kafka.broker import ensure_topics
from deploy.local.kubernetes.admin import administrator, create_namespace, delete_namespace
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.app import service
from evaluation_cancel.consumer.audit.archive.object_store import probe
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.settings import ALL_LOOPS, ClusterSettings
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import encode_command
from tests.support.consumer.cluster_env import CLUSTER, labelled
from tests.support.environment import unique
from tests.support.fakes.audit import MemoryStore
from tests.support.kubernetes.raw import Raw, session_of
from tests.support.schemas.odd_records import send_batch
from tests.support.waiting import until

SOURCE: Final = "/audit-tests"
OWNER: Final = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "x", "controller": True}
COMMANDS: Final = 8
"""Commands in the inbox. The others that were sent are a duplicate and two dead letters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """`objects` is the archive as it was written. The names of evaluations tell their state or outcome."""

    settings: AuditSettings
    database: str
    """The database's name. Tests that change rows work in a copy."""
    objects: dict[str, bytes]
    running: UUID
    created: UUID
    joined: UUID
    owned: UUID
    forbidden: UUID
    unknown: UUID

    def archive(self) -> MemoryStore:
        """A copy of the archive, which the test may change."""
        store = MemoryStore()
        store.objects = dict(self.objects)
        return store

    def on(self, dsn: str) -> AuditSettings:
        """The settings with another database."""
        return self.settings.model_copy(update={"postgres_dsn": type(self.settings.postgres_dsn)(dsn)})


def keys(directory: Path) -> tuple[Path, Path]:
    """Create a signing key. Returns the PEM files of the private and the public key."""
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private, public = directory / f"{unique('key')}.pem", directory / f"{unique('pub')}.pem"
    private.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def audit_settings(environment: Stack, dsn: str, topics: Topics, bucket: str, directory: Path) -> AuditSettings:
    private, public = keys(directory)
    return AuditSettings(
        kafka_bootstrap_servers=environment.kafka.bootstrap_servers,
        kafka_isolation_level="read_uncommitted" if environment.kafka.kind == "memory" else "read_committed",
        topic_prefix=topics.prefix,
        group_id=topics.prefix + "group",
        postgres_dsn=dsn,  # type: ignore[arg-type]  # pydantic makes the secret
        clusters={
            CLUSTER: ClusterSettings(kubeconfig=environment.cluster.kubeconfig, disable_strict_ssl_verification=True)
        },
        s3_endpoint_url=environment.s3.endpoint_url,
        s3_region=environment.s3.region,
        s3_path_style=True,
        http_host="127.0.0.1",
        http_port=0,
        audit_bucket=bucket,
        audit_prefix="archive/",
        audit_signing_key_file=private,
        audit_public_key_files=(public,),
        audit_object_bytes=1024,
        audit_lag=0.001,
    )


async def new_bucket(environment: Stack) -> str:
    session = aioboto3.Session(environment.s3.access_key, environment.s3.secret_key, region_name=environment.s3.region)
    async with session.client("s3", endpoint_url=environment.s3.endpoint_url) as client:
        name = unique("audit")
        await client.create_bucket(Bucket=name)
    return name


@asynccontextmanager
async def made_history(environment: Stack, template: str, directory: Path) -> AsyncIterator[History]:
    """Run the service until every command has its outcome, then the archiver once."""
    database = unique("history")
    dsn = await environment.postgres.create_database(database, template=template)
    topics = Topics(f"{unique('audit')}-")
    await ensure_topics(environment.kafka, topics.specs())
    settings = audit_settings(environment, dsn, topics, await new_bucket(environment), directory)
    history = History(
        settings=settings,
        database=database,
        objects={},
        **{name: uuid4() for name in ("running", "created", "joined", "owned", "forbidden", "unknown")},
    )
    async with AsyncExitStack() as stack:
        raw = await _namespace(environment, stack)
        connection = await asyncpg.connect(dsn)
        stack.push_async_callback(connection.close)
        await _evaluations(connection, history, raw)
        async with service(settings, ALL_LOOPS):
            await _commands(settings, history)
            try:
                await until(lambda: _is_finished(connection), "every command has its outcome", within=90)
            except TimeoutError as error:
                raise TimeoutError(f"decided, open, dead letters, waiting: {await _progress(connection)}") from error
        await connection.close()
    await archive_once(settings)
    yield replace(history, objects=await download(settings))
    await environment.postgres.drop_database(database)


async def archive_once(settings: AuditSettings) -> None:
    async with wiring.store(settings) as store:
        await probe(store)
        await wiring.archiver(settings, store).run_once()


async def download(settings: AuditSettings) -> dict[str, bytes]:
    """All objects of the archive except the probe."""
    async with wiring.store(settings) as store:
        found = {key: await store.get(key) async for key in store.keys("")}
    return {key: body for key, body in found.items() if body is not None and key != "probe"}


async def _namespace(environment: Stack, stack: AsyncExitStack) -> Raw:
    name = unique("audit")
    client = await stack.enter_async_context(administrator(environment.cluster))
    await create_namespace(client, name)
    stack.push_async_callback(delete_namespace, client, name)
    return Raw(await stack.enter_async_context(session_of(environment.cluster)), name)


async def _evaluations(connection: Any, history: History, raw: Raw) -> None:
    for evaluation in (history.running, history.created, history.joined, history.owned, history.forbidden):
        await connection.execute(
            "SELECT evaluation_cancel.register($1, 'team-1', $2, $3, 'request.json')",
            evaluation,
            history.settings.audit_bucket,
            f"artifacts/{evaluation}/",
        )
    jobs = {
        history.running: await raw.running_job("running", pods=2, **labelled(history.running)),
        history.owned: await raw.create_job(
            "owned", metadata={"ownerReferences": [{**OWNER, "uid": str(uuid4())}]}, **labelled(history.owned)
        ),
    }
    for name, (evaluation, job) in zip(("running", "owned"), jobs.items(), strict=True):
        starting = "SELECT evaluation_cancel.starting($1, $2, $3, $4)"
        await connection.execute(starting, evaluation, CLUSTER, raw.namespace, name)
        await connection.execute("SELECT evaluation_cancel.attach_job($1, $2)", evaluation, job.uid)


def command(evaluation: UUID, *, team: str = "team-1", **changes: Any) -> CancelEvaluation:
    actor = RequestedBy(kind="user", id="ada", team_ids=(team,))
    return CancelEvaluation(evaluation_id=evaluation, requested_by=actor, **{"reason": "wrong model", **changes})


async def _commands(settings: AuditSettings, history: History) -> None:
    twice = str(uuid7())
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers) as producer:

        async def send(what: CancelEvaluation, identity: str = "") -> None:
            envelope = Envelope(id=identity or str(uuid7()), source=SOURCE, type=f"{TYPE_PREFIX}CancelEvaluation")
            encoded = encode_command(envelope, what)
            await producer.send_and_wait(
                settings.topics.commands, encoded.value, key=encoded.key, headers=encoded.headers
            )

        await send(command(history.running, cleanup_artifacts=True))
        await send(command(history.owned))
        await send(command(history.forbidden, team="team-2"))
        await send(command(history.unknown))
        await send(command(history.created), twice)
        await send(command(history.created), twice)  # a duplicate
        await send(command(history.created, reason="another"), twice)  # a dead letter: the id is used
        await send(command(history.created))  # rejected, or joined
        await send(command(history.joined))
        bare = {"evaluation_id": str(history.joined), "requested_by": {"kind": "service", "id": "ci"}}
        bare["requested_by"]["team_ids"] = ["team-1"]  # type: ignore[index]
        await producer.send_and_wait(settings.topics.commands, json.dumps(bare).encode())
    await send_batch(
        settings.kafka_bootstrap_servers, settings.topics.commands, [(b"\xff\x00no json", [("x-\udcff", b"\xfe")])]
    )


async def _is_finished(connection: Any) -> bool:
    return await _progress(connection) == (COMMANDS, 0, 2, 0)


async def _progress(connection: Any) -> tuple[int, ...]:
    found = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM evaluation_cancel.commands WHERE decision IS NOT NULL) AS decided,
            (SELECT count(*) FROM evaluation_cancel.cancellations
             WHERE ended_at IS NULL OR (cleanup_state = 'pending' AND phase = 'cancelled')) AS open,
            (SELECT count(*) FROM evaluation_cancel.messages WHERE evaluation_id IS NULL) AS dead,
            (SELECT count(*) FROM evaluation_cancel.outbox) AS waiting
        """
    )
    return tuple(found)
