"""Verifies the archive, and history against Postgres: walks the chains, then judges evaluation by evaluation.

The chains are `chain_check.py`, the judges `commands.py`, `events.py` and `rows.py`. The archive is
read before Postgres, so that what is decided meanwhile is at worst young.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.record_lines import decode_line
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvaluation, archived_command, archived_event
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.collect import Collector
from evaluation_cancel.consumer.audit.verify.commands import judge_commands
from evaluation_cancel.consumer.audit.verify.context import Case, Context, StoredEvaluation
from evaluation_cancel.consumer.audit.verify.disk_buckets import Spill
from evaluation_cancel.consumer.audit.verify.events import judge_events
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.audit.verify.rows import judge_rows
from evaluation_cancel.consumer.sql import audit_reads
from evaluation_cancel.consumer.sql.database import Database, Row
from evaluation_cancel.schemas.topics import Topics

_AT_ONCE: Final = 500
_ID: Final = b'{"evaluation":'


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What is to be verified, and how strictly."""

    topics: Topics
    lag: timedelta
    inbox_kept: timedelta
    messages_kept: timedelta
    accept_bare: bool = True
    every_team_sources: frozenset[str] = frozenset()
    expected: Mapping[Partition, Head] = field(default_factory=dict)
    """Heads noted earlier."""
    kafka_bounds: Mapping[Partition, tuple[int, int]] | None = None
    """What Kafka retains, if it could be asked."""


async def verify(
    store: ObjectStore,
    trusted: TrustedKeys,
    database: Database | None,
    verification: Verification,
    say: Callable[[str], None],
) -> tuple[Findings, dict[Partition, Head]]:
    """What was found, and the heads of the chains as they are now."""
    findings, now = Findings(), datetime.now(UTC)
    with Spill() as spill:
        collector = Collector(
            store=store,
            trusted=trusted,
            topics=verification.topics,
            findings=findings,
            spill=spill,
            now=now,
            lag=verification.lag,
            accept_bare=verification.accept_bare,
            expected=verification.expected,
        )
        say("Walking the chains.")
        await collector.collect()
        _judge_kafka(verification, collector, findings)
        if database is not None:
            say("Asking Postgres which evaluations it knows.")
            await _add_known(database, spill)
        say("Judging each evaluation.")
        context = Context(
            findings=findings,
            now=now,
            lag=verification.lag,
            reach=collector.reach,
            dead=collector.dead,
            commands_topic=verification.topics.commands,
            events_topic=verification.topics.events,
            inbox_kept=verification.inbox_kept,
            messages_kept=verification.messages_kept,
            every_team_sources=verification.every_team_sources,
        )
        for lines in spill.buckets():
            await _judge_bucket(lines, database, verification, context)
    return findings, collector.heads


def _judge_kafka(verification: Verification, collector: Collector, findings: Findings) -> None:
    """Whether Kafka still has what the archive needs next."""
    for (topic, partition), (first, end) in (verification.kafka_bounds or {}).items():
        head = collector.heads.get((topic, partition))
        next_offset = 0 if head is None else head.next_offset
        if head is not None and next_offset < first:
            detail = f"Kafka begins at {first}, so that offsets {next_offset}-{first - 1} are in neither"
            findings.defect(f"{topic}[{partition}]@{next_offset}", "expired_unarchived", detail)
        elif next_offset > end:
            detail = f"the archive goes up to offset {next_offset - 1}, Kafka only to {end - 1}"
            findings.defect(f"{topic}[{partition}]@{end}", "partition_behind_archive", detail)


async def _add_known(database: Database, spill: Spill) -> None:
    async with database.connection() as tx:
        async for page in audit_reads.known_evaluations(tx):
            for evaluation in page:
                spill.add(evaluation, orjson.dumps({"evaluation": str(evaluation)}) + b"\n")


async def _judge_bucket(
    lines: list[bytes], database: Database | None, verification: Verification, context: Context
) -> None:
    archived = _by_evaluation(lines, verification)
    ids = sorted(archived)
    for begin in range(0, len(ids), _AT_ONCE):
        chunk = ids[begin : begin + _AT_ONCE]
        stored = {} if database is None else await _stored(database, chunk)
        for identity in chunk:
            rows = None if database is None else stored.get(identity, StoredEvaluation())
            judge(Case(evaluation_id=identity, archived=archived[identity], stored=rows), context)


def judge(case: Case, context: Context) -> None:
    """Everything that can be said of one evaluation."""
    context.findings.counts["evaluations"] += 1
    judge_commands(case, context)
    judge_rows(case, context, judge_events(case, context))


def _by_evaluation(lines: list[bytes], verification: Verification) -> dict[UUID, ArchivedEvaluation]:
    found: dict[UUID, ArchivedEvaluation] = {}
    for line in lines:
        if line.startswith(_ID):
            found.setdefault(UUID(orjson.loads(line)["evaluation"]), ArchivedEvaluation())
            continue
        record = decode_line(line)
        if record.topic == verification.topics.commands:
            command = archived_command(record, accept_bare=verification.accept_bare)
            found.setdefault(command.command.evaluation_id, ArchivedEvaluation()).commands.append(command)
        else:
            event = archived_event(record)
            found.setdefault(event.event.evaluation_id, ArchivedEvaluation()).events.append(event)
    return found


async def _stored(database: Database, ids: Sequence[UUID]) -> dict[UUID, StoredEvaluation]:
    async with database.connection() as tx:
        evaluations = {row["id"]: row for row in await audit_reads.evaluations(tx, ids)}
        commands = _grouped(await audit_reads.commands(tx, ids))
        cancellations = _grouped(await audit_reads.cancellations(tx, ids))
        messages = _grouped(await audit_reads.messages(tx, ids))
    return {
        i: StoredEvaluation(
            evaluation=evaluations.get(i),
            commands=commands.get(i, ()),
            cancellations=cancellations.get(i, ()),
            messages=messages.get(i, ()),
        )
        for i in ids
    }


def _grouped(rows: Sequence[Row]) -> dict[UUID, list[Row]]:
    groups: dict[UUID, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["evaluation_id"], []).append(row)
    return groups
