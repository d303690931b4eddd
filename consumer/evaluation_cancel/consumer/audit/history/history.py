"""Past records as a stream of pieces, from Kafka or from the archive. Used by `replay`, `report` and `explain`.

Remarks report the records that are missing: expired in Kafka, not archived, or in an object that is not sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from evaluation_cancel.consumer.audit.archive.keys import DataKey, read_data_key
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.reader import ArchivedObject, extent, objects_between, read_object
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.kafka.reading import Log, Partition, read_range
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.schemas.wire.records import RawRecord

_DISORDER_MS: Final = 3_600_000
"""How far timestamps in a partition may be out of order. A reading continues for this long after its end time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Consecutive records of one partition, and the progress of the reading after them."""

    partition: Partition
    records: Sequence[RawRecord]
    position: int
    """The offset after the last record."""
    steps: int
    """Its share of `Progress.total`."""
    key: str | None = None
    """The key of the archive's object; None for Kafka."""
    ends: Mapping[Partition, int] | None = None
    """`Extent.ends` of a reading of the archive; None for Kafka."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """Where an interrupted reading continues: in Kafka at positions, in the archive after an object.

    The archive is read day by day, so objects that were archived in the meantime may sort before `after`. They would be
    left out in the middle of a partition. Therefore the reading keeps its old `ends`, which exclude all of them.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    after: str | None = None
    """The key of the last object that was read."""
    ends: Mapping[Partition, int] | None = None
    """`Piece.ends` of the interrupted reading."""


FROM_THE_START: Final = Resume()


class Progress(Protocol):
    """Receives the progress of a reading. A step is one offset in Kafka or one object in the archive."""

    def total(self, steps: int) -> None:
        """The number of steps in the whole reading."""

    def done(self, steps: int, records: int) -> None:
        """Steps and records that were read since the last call."""


OnRemark = Callable[[str], None]
"""Called with a sentence for the user, such as which offsets have expired."""


class KafkaHistory:
    """The records that Kafka retains."""

    name = "kafka"

    def __init__(self, log: Log, *, patience: float, on_remark: OnRemark) -> None:
        self._log = log
        self._patience = patience
        self._on_remark = on_remark

    async def pieces(
        self, topics: Sequence[str], selection: Selection, progress: Progress, resume: Resume
    ) -> AsyncIterator[Piece]:
        """Read the selected time of these topics. Partitions are interleaved, each in its order."""
        ranges = await self._ranges(topics, selection, resume.positions)
        progress.total(sum(max(0, end - first) for first, end in ranges.values()))
        async for read in read_range(self._log, ranges, patience=self._patience, on_expired=self._remark_expired):
            yield Piece(
                partition=read.partition,
                records=read.records,
                position=read.position,
                steps=read.position - read.began_at,
            )

    async def _ranges(
        self, topics: Sequence[str], selection: Selection, resume: Mapping[Partition, int]
    ) -> dict[Partition, tuple[int, int]]:
        bounds = {p: b for p, b in (await self._log.bounds()).items() if p[0] in topics}
        starts = await self._offsets_at(selection.since_ms, bounds)
        end_ms = None if selection.before_ms is None else selection.before_ms + _DISORDER_MS
        ends = await self._offsets_at(end_ms, bounds)
        ranges = {}
        for partition, (first, end) in bounds.items():
            start = resume.get(partition, starts.get(partition, first))
            if partition in resume and start < first:
                self._remark_expired(partition, start, first)
            elif start <= first > 0:
                await self._remark_retention(partition, first, selection)
            ranges[partition] = (max(first, start), min(end, ends.get(partition, end)))
        return ranges

    async def _offsets_at(
        self, timestamp_ms: int | None, bounds: Mapping[Partition, tuple[int, int]]
    ) -> dict[Partition, int]:
        """The first offsets at this time or later, or the partition's end. Empty if the broker has no timestamps."""
        filled = [p for p, (first, end) in bounds.items() if first < end]
        if timestamp_ms is None or not filled or None in (await self._log.offsets_at(0, filled[:1])).values():
            return {}
        found = await self._log.offsets_at(timestamp_ms, filled)
        return {p: bounds[p][1] if offset is None else offset for p, offset in found.items()}

    async def _remark_retention(self, partition: Partition, first: int, selection: Selection) -> None:
        wanted = "the beginning" if selection.since_ms is None else _utc(selection.since_ms)
        self._on_remark(
            f"{partition[0]}[{partition[1]}]: Kafka no longer has the offsets before {first}. Records since {wanted}"
            f" may be missing; the archive may have them. Reading goes on from offset {first}."
        )

    def _remark_expired(self, partition: Partition, wanted: int, first: int) -> None:
        self._on_remark(
            f"{partition[0]}[{partition[1]}]: offsets {wanted}-{first - 1} have expired; reading goes on from {first}."
        )


class ArchiveHistory:
    """The records in the archive."""

    name = "archive"

    def __init__(
        self, store: ObjectStore, trusted: TrustedKeys, *, on_remark: OnRemark, tolerant: bool = False
    ) -> None:
        """`tolerant`: an object that is not sound is skipped with a remark, instead of ending the reading."""
        self._store = store
        self._trusted = trusted
        self._on_remark = on_remark
        self._tolerant = tolerant

    async def pieces(
        self, topics: Sequence[str], selection: Selection, progress: Progress, resume: Resume
    ) -> AsyncIterator[Piece]:
        """Read the selected time of these topics: by day, topic and partition, up to the ends at the start."""
        since, before = selection.since_ms, selection.before_ms
        found = await extent(self._store, topics, since, before, resume.ends)
        progress.total(found.objects)
        done = None if resume.after is None else _order(read_data_key(resume.after), topics)
        first_day = None
        async for day in objects_between(self._store, topics, since, before):
            for name in day:
                if name.first > found.ends.get((name.topic, name.partition), -1):
                    continue
                first_day = first_day or name.day
                piece = None if done is not None and _order(name, topics) <= done else await self._piece(name)
                if piece is None:
                    progress.done(1, 0)
                else:
                    yield replace(piece, ends=found.ends)
        self._remark_first_day(first_day, selection)

    async def _piece(self, name: DataKey) -> Piece | None:
        found = await self._object(name)
        if found is None:
            return None
        for first, last in found.expired:
            self._on_remark(
                f"{name.topic}[{name.partition}]: offsets {first}-{last} had expired before they were archived;"
                f" reading goes on from {last + 1}."
            )
        position = found.records[-1].offset + 1
        return Piece(
            partition=(name.topic, name.partition), records=found.records, position=position, steps=1, key=name.key
        )

    async def _object(self, name: DataKey) -> ArchivedObject | None:
        try:
            found = await read_object(self._store, self._trusted, name)
        except Refusal as error:
            if not self._tolerant:
                raise
            self._on_remark(f"Skipped: {error.detail} ({error.code}).")
            return None
        if found is None:
            self._on_remark(f"Skipped: no link names {name.key}, so it is not part of the archive.")
        return found

    def _remark_first_day(self, first_day: str | None, selection: Selection) -> None:
        if first_day is None:
            self._on_remark("The archive holds no records of that time.")
        elif selection.since_ms is not None and first_day > f"{_utc(selection.since_ms)}"[:10]:
            self._on_remark(
                f"The archive holds no records of that time before {first_day}; reading goes on from there."
            )


History = KafkaHistory | ArchiveHistory


def _order(name: DataKey | None, topics: Sequence[str]) -> tuple[str, int, int, int]:
    """A sort key in reading order. A key of another kind or topic sorts first."""
    if name is None or name.topic not in topics:
        return ("", 0, 0, 0)
    return (name.day, topics.index(name.topic), name.partition, name.first)


def _utc(timestamp_ms: int) -> str:
    return f"{datetime.fromtimestamp(timestamp_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
