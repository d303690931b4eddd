"""Reads ranges of Kafka partitions to their end. Defines the port `Log`, which `client.py` implements.

`read_range` compares the reader's positions, not the offsets of records, with the end of a range. So it also ends when
the last offsets hold control records or nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.schemas.wire.records import RawRecord

Partition = tuple[str, int]
"""Topic and number."""


class Expired(TemporaryError):  # noqa: N818  # names the state of the records
    """The requested offset is outside of the range that Kafka retains."""


OnExpired = Callable[[Partition, int, int], None]
"""Called with a partition, the wanted offset that expired, and the offset at which reading continues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Consecutive records of one partition, and the reader's position before and after them."""

    partition: Partition
    records: Sequence[RawRecord]
    began_at: int
    position: int
    """The next offset to read. Offsets from `began_at` to here that are not among the records hold no record."""


class Log(Protocol):
    """The Kafka partitions that audit reads. Methods raise `TemporaryError`."""

    @property
    def partitions(self) -> Sequence[Partition]:
        """All partitions of the topics that exist."""

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        """The first retained offset and the end offset of each partition, at the isolation level of the reader."""

    async def offsets_at(self, timestamp_ms: int, among: Iterable[Partition]) -> dict[Partition, int | None]:
        """The first offset whose record has this timestamp or a later one; None where there is no such record."""

    def read_from(self, positions: Mapping[Partition, int]) -> None:
        """Read these partitions and no others, from these offsets."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue to read this partition from this offset."""

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ASYNC109
        """Records that arrive within `timeout` seconds. A position that moved without a record is a read too."""


async def read_range(
    log: Log,
    ranges: Mapping[Partition, tuple[int, int]],
    *,
    patience: float,
    on_expired: OnExpired,
) -> AsyncIterator[Read]:
    """Read each range from its first offset up to, not including, its second. Partitions are interleaved.

    `on_expired` gets the partition, the wanted offset and the next offset when Kafka drops records before they are
    read. Raises `TemporaryError` when no position moves for `patience` seconds.
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
            await _skip_expired(log, positions, ranges, on_expired)
            continue
        for read in reads:
            moved_at = time.monotonic()
            end = ranges[read.partition][1]
            if read.partition not in positions:
                continue
            positions[read.partition] = read.position
            if read.position >= end:
                del positions[read.partition]
                inside = [r for r in read.records if r.offset < end]
                yield Read(partition=read.partition, records=inside, began_at=read.began_at, position=end)
            else:
                yield read
        if time.monotonic() - moved_at > patience:
            left = ", ".join(f"{t}[{p}] from {at}" for (t, p), at in sorted(positions.items())[:3])
            raise TemporaryError("kafka_stalled", f"no progress for {patience:g} s; unread: {left}")


async def _skip_expired(
    log: Log,
    positions: dict[Partition, int],
    ranges: Mapping[Partition, tuple[int, int]],
    on_expired: OnExpired,
) -> None:
    bounds = await log.bounds()
    for partition, position in list(positions.items()):
        first = bounds[partition][0]
        if position < first:
            resumes_at = min(first, ranges[partition][1])
            on_expired(partition, position, resumes_at)
            positions[partition] = resumes_at
            log.seek(partition, first)
            if resumes_at == ranges[partition][1]:
                del positions[partition]
