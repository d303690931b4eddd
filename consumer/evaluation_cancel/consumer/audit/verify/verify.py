"""The use case: walks the chains, then checks one evaluation after the other against Postgres.

`collect.py` walks the chains. `commands.py`, `events.py` and `rows.py` check an evaluation. The archive is read before
Postgres, so a command that is decided in the meantime is young and not a defect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.archive.chain import EMPTY, Head
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.record_lines import decode_line
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvaluation, archived_command, archived_event
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.collect import Collector
from evaluation_cancel.consumer.audit.verify.commands import check_commands
from evaluation_cancel.consumer.audit.verify.context import Case, Context, Verification
from evaluation_cancel.consumer.audit.verify.disk_buckets import DiskBuckets
from evaluation_cancel.consumer.audit.verify.events import check_events
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.audit.verify.rows import check_rows
from evaluation_cancel.consumer.sql import audit_reads
from evaluation_cancel.consumer.sql.database import Database

_AT_ONCE: Final = 500
_ID: Final = b'{"evaluation":'
"""The start of a line that has only the id of an evaluation in Postgres. Record lines start with `{"topic":`."""


async def verify(
    store: ObjectStore,
    trusted: TrustedKeys,
    database: Database | None,
    verification: Verification,
    on_step: Callable[[str], None],
) -> tuple[Findings, dict[Partition, Head]]:
    """Return the findings and the present heads of the chains. Without a database only the archive is checked."""
    findings, now = Findings(), datetime.now(UTC)
    with DiskBuckets() as buckets:
        collector = Collector(store, trusted, verification, findings, buckets, now=now)
        on_step("Walking the chains.")
        await collector.collect()
        _check_kafka(verification, collector, findings)
        if database is not None:
            on_step("Reading the ids of all evaluations from Postgres.")
            await _add_known(database, buckets)
        on_step("Checking each evaluation.")
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
        for lines in buckets.buckets():
            await _check_bucket(lines, database, verification, context)
    return findings, collector.heads


def _check_kafka(verification: Verification, collector: Collector, findings: Findings) -> None:
    """Check that Kafka still has the records that each chain needs next."""
    for (topic, partition), (first, end) in (verification.kafka_bounds or {}).items():
        next_offset = collector.heads.get((topic, partition), EMPTY).next_offset
        if next_offset < first and (topic, partition) in collector.heads:
            detail = f"Kafka begins at {first}, so that offsets {next_offset}-{first - 1} are in neither"
            findings.defect(f"{topic}[{partition}]@{next_offset}", "expired_unarchived", detail)
        elif next_offset > end:
            detail = f"the archive goes up to offset {next_offset - 1}, Kafka only to {end - 1}"
            findings.defect(f"{topic}[{partition}]@{end}", "partition_behind_archive", detail)


async def _add_known(database: Database, buckets: DiskBuckets) -> None:
    """Add the evaluations of Postgres, so that those without archived records are checked too."""
    async with database.connection() as tx:
        async for page in audit_reads.known_evaluations(tx):
            for evaluation in page:
                buckets.add(evaluation, orjson.dumps({"evaluation": str(evaluation)}) + b"\n")


async def _check_bucket(
    lines: list[bytes], database: Database | None, verification: Verification, context: Context
) -> None:
    archived = _by_evaluation(lines, verification)
    ids = sorted(archived)
    for begin in range(0, len(ids), _AT_ONCE):
        chunk = ids[begin : begin + _AT_ONCE]
        stored = {}
        if database is not None:
            async with database.connection() as tx:
                stored = await audit_reads.stored_evaluations(tx, chunk)
        for identity in chunk:
            check_evaluation(
                Case(evaluation_id=identity, archived=archived[identity], stored=stored.get(identity)), context
            )


def check_evaluation(case: Case, context: Context) -> None:
    """Run all checks of one evaluation."""
    context.findings.counts["evaluations"] += 1
    check_commands(case, context)
    check_rows(case, context, check_events(case, context))


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
