"""The load: evaluations that run, spread over teams, and a command to cancel each.

Commands are made and encoded before anything is measured. They are sent all at once, or paced for latencies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaProducer

from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope, schema_uri
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.wire.codec import EncodedRecord, encode_command
from tests.bench.kubernetes.instant_jobs import CLUSTER, NAMESPACE

SOURCE = "urn:bench"
TEAMS = 200
_COLUMNS = ("id", "team_id", "status", "cluster", "job_namespace", "job_name", "job_uid", "bucket", "prefix")


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Commands by their ids, in the order in which they are sent."""

    evaluations: Sequence[UUID]
    command_ids: Sequence[str]
    records: Sequence[EncodedRecord]


def make_load(count: int) -> Load:
    evaluations = [uuid4() for _ in range(count)]
    ids = [str(uuid7()) for _ in range(count)]
    records = [_command(i, *pair) for i, pair in enumerate(zip(evaluations, ids, strict=True))]
    return Load(evaluations=evaluations, command_ids=ids, records=records)


def _team(number: int) -> str:
    return f"team-{number % TEAMS}"


def _command(number: int, evaluation: UUID, command_id: str) -> EncodedRecord:
    command = CancelEvaluation(
        evaluation_id=evaluation,
        requested_by=RequestedBy(kind="user", id=f"user-{number % 1000}@example.org", team_ids=(_team(number),)),
        reason="The results of the first hundred samples are enough.",
    )
    envelope = Envelope(
        id=command_id,
        source=SOURCE,
        type=f"{TYPE_PREFIX}CancelEvaluation",
        time=datetime.now(UTC),
        dataschema=schema_uri("CancelEvaluation"),
        correlationid=command_id,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    return encode_command(envelope, command)


JobReference = tuple[str, str, str, str]
"""Cluster, namespace, name and uid."""


async def register(dsn: str, load: Load, jobs: Sequence[JobReference] | None = None) -> None:
    """All evaluations in bulk, as if an orchestrator had started them. Without `jobs`: those of `InstantJobs`."""
    jobs = jobs or [(CLUSTER, NAMESPACE, str(e), str(e)) for e in load.evaluations]
    rows = [
        (e, _team(n), "running", *job, "artifacts", f"evals/{e}/")
        for n, (e, job) in enumerate(zip(load.evaluations, jobs, strict=True))
    ]
    connection = await asyncpg.connect(dsn)
    try:
        await connection.copy_records_to_table(
            "evaluations", schema_name="evaluation_cancel", records=rows, columns=_COLUMNS
        )
    finally:
        await connection.close()


async def send(bootstrap_servers: str, topic: str, load: Load, *, rate: float | None = None) -> dict[str, float]:
    """Sends all, at once or at `rate` a second; gives when the broker recorded each, in seconds since 1970."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=131072
    )
    await producer.start()
    try:
        begun = time.monotonic()
        sent = []
        for number, record in enumerate(load.records):
            if rate is not None:
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            sent.append(await producer.send(topic, record.value, key=record.key, headers=record.headers))
        acknowledged = await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return {i: a.timestamp / 1000 for i, a in zip(load.command_ids, acknowledged, strict=True)}
