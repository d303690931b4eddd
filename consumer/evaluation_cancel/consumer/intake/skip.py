"""Lets an operator pass over records that cannot be read; operator and reason are recorded.

The intake stands still at such an offset until it can be read. The skip is a dead letter without a value and the next
offset in one transaction; the intake finds the offset when it tries again, within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.consumer.domain.errors import Refusal, scrub
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.sql import commands, outbox
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """The offsets `first` to `last` of a partition, and who skips them for what reason."""

    topic: str
    partition: int
    first: int
    last: int
    operator: str
    reason: str


async def skip(database: Database, events: OutcomeEvents, skipped: Skip) -> None:
    """Records the skip. Raises `Refusal` unless the intake stands at the first of these offsets."""
    if skipped.last < skipped.first:
        raise Refusal("invalid_range", f"the last offset {skipped.last} is below the first, {skipped.first}")
    async with database.transaction() as tx:
        stands_at = (await commands.saved_offsets(tx, skipped.topic)).get(skipped.partition)
        if stands_at != skipped.first:
            where = "has read nothing" if stands_at is None else f"stands at {stands_at}"
            raise Refusal("not_there", f"the intake {where} in partition {skipped.partition}, not at {skipped.first}")
        await outbox.add(tx, [events.dead_letter(*_letter(skipped, await commands.database_time(tx)))])
        await commands.save_offsets(tx, [Position(skipped.topic, skipped.partition, skipped.last + 1)])


def _letter(skipped: Skip, moment: datetime) -> tuple[RawRecord, UndecodableRecord]:
    record = RawRecord(
        topic=skipped.topic,
        partition=skipped.partition,
        offset=skipped.first,
        timestamp_ms=int(moment.timestamp() * 1000),
        key=None,
        value=None,
        headers=(),
    )
    error = UndecodableRecord(
        code="skipped",
        field="value",
        problem=f"could not be read; offsets {skipped.first} to {skipped.last} were skipped by"
        f" {scrub(skipped.operator, 100)}: {scrub(skipped.reason, 300)}",
        topic=skipped.topic,
        partition=skipped.partition,
        offset=skipped.first,
    )
    return record, error
