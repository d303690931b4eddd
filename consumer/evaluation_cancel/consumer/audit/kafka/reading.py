"""Reads ranges of Kafka's partitions for audit: what a reading gives, and how it goes on and ends.

`read_range` goes from one set of offsets to another and ends, whatever control records or gaps lie there, because it
compares positions and not the last record's offset. The client is `client.py`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.schemas.wire.records import RawRecord

Partition = tuple[str, int]


class Expired(TemporaryError):  # noqa: N818  # says what has happened to the records
    """Kafka no longer has, or does not yet have, the offset that was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Records of one partition that follow on one another, and where the next one is."""

    partition: Partition
    records: Sequence[RawRecord]
    began_at: int
    """The position before it. Offsets from here to `position` that are not among the records hold none."""
    position: int


class Log(Protocol):
    """Kafka, as audit reads it. Raises `TemporaryError`."""

    @property
    def partitions(self) -> Sequence[Partition]:
        """All partitions of the topics that exist."""

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        """The first offset that is retained, and the end: what a reader of this isolation level can get to."""

    async def offsets_at(self, timestamp_ms: int, among: Iterable[Partition]) -> dict[Partition, int | None]:
        """The first offset with a record this old or younger; None where there is none."""

    def read_from(self, positions: Mapping[Partition, int]) -> None:
        """Reads these partitions, from these offsets, from now on."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Goes on from there."""

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ASYNC109
        """What has come, within this time; also the partitions whose position moved without a record."""


async def read_range(
    log: Log,
    ranges: Mapping[Partition, tuple[int, int]],
    *,
    patience: float,
    expired: Callable[[Partition, int, int], None],
) -> AsyncIterator[Read]:
    """From the first offset of each range up to, not including, the second. Raises when nothing moves for `patience`
    seconds. Order holds within a partition; what is read at once is of several. `expired` is told when the broker
    drops records before they could be read: the partition, the offset wanted, and where it goes on.
    """
    positions = {p: first for p, (first, end) in ranges.items() if first < end}
    if not positions:
        return
    log.read_from(positions)
    moved_at = time.monotonic()
    while positions:
        try:
            reads = await log.read(min(1.0, patience), only=tuple(positions))
        except Expired:
            await _skip_expired(log, positions, ranges, expired)
            continue
        for read in reads:
            moved_at = time.monotonic()
            end = ranges[read.partition][1]
            if read.partition not in positions:
                continue
            positions[read.partition] = read.position
            if read.position >= end:
                del positions[read.partition]
                # Only the part that was asked for.
                inside = [r for r in read.records if r.offset < end]
                yield Read(partition=read.partition, records=inside, began_at=read.began_at, position=end)
            else:
                yield read
        if time.monotonic() - moved_at > patience:
            left = ", ".join(f"{t}[{p}] from {at}" for (t, p), at in sorted(positions.items())[:3])
            raise TemporaryError("kafka_stalled", f"nothing has come for {patience:g} s; left: {left}")


async def _skip_expired(
    log: Log,
    positions: dict[Partition, int],
    ranges: Mapping[Partition, tuple[int, int]],
    expired: Callable[[Partition, int, int], None],
) -> None:
    bounds = await log.bounds()
    for partition, position in list(positions.items()):
        first = bounds[partition][0]
        if position < first:
            goes_on = min(first, ranges[partition][1])
            expired(partition, position, goes_on)
            positions[partition] = goes_on
            log.seek(partition, first)
            if goes_on == ranges[partition][1]:
                del positions[partition]
