"""History as a stream of records, from Kafka or from the archive, for whoever replays or counts it.

Says what it could not give: what has expired in Kafka, and where it goes on instead.
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
"""How far timestamps within a partition may be out of order: reading goes on for an hour of them beyond its end."""
_BEGINNING: Final = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Records of one partition that follow on one another, and how far the reading has come with them."""

    partition: Partition
    records: Sequence[RawRecord]
    position: int
    steps: int
    """How much of `Progress.total` this was."""
    key: str | None = None
    """Of the object, in the archive."""
    ends: Mapping[Partition, int] | None = None
    """In the archive: `archive_reading.Extent.ends`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """Where an interrupted reading goes on: in Kafka by positions, in the archive behind an object and up to the same
    ends. What was archived meanwhile may lie before that object, as days are read one after the other: it would be
    left out in the middle, and is left for another reading as a whole.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    behind: str | None = None
    ends: Mapping[Partition, int] | None = None


FROM_THE_START: Final = Resume()


class Progress(Protocol):
    """Is told how far it is. The unit is the source's own: offsets or objects."""

    def total(self, steps: int) -> None: ...

    def done(self, steps: int, records: int) -> None: ...


Say = Callable[[str], None]
"""For sentences to the person who asked."""


class KafkaHistory:
    """What Kafka retains of some topics."""

    name = "kafka"

    def __init__(self, log: Log, *, patience: float, say: Say) -> None:
        self._log = log
        self._patience = patience
        self._say = say

    async def pieces(
        self, topics: Sequence[str], selection: Selection, progress: Progress, resume: Resume
    ) -> AsyncIterator[Piece]:
        """All partitions at once, each in its order."""
        ranges = await self._ranges(topics, selection, resume.positions)
        progress.total(sum(max(0, end - first) for first, end in ranges.values()))
        async for read in read_range(self._log, ranges, patience=self._patience, expired=self._expired):
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
        late = None if selection.before_ms is None else selection.before_ms + _DISORDER_MS
        ends = await self._offsets_at(late, bounds)
        ranges = {}
        for partition, (first, end) in bounds.items():
            start = resume.get(partition, starts.get(partition, first))
            if partition in resume and start < first:
                self._expired(partition, start, first)
            elif start <= first > _BEGINNING:
                await self._say_what_is_retained(partition, first, selection)
            ranges[partition] = (max(first, start), min(end, ends.get(partition, end)))
        return ranges

    async def _offsets_at(
        self, timestamp_ms: int | None, bounds: Mapping[Partition, tuple[int, int]]
    ) -> dict[Partition, int]:
        """The first offset of this time or later; the end where there is none. Empty where the broker cannot say."""
        filled = [p for p, (first, end) in bounds.items() if first < end]
        if timestamp_ms is None or not filled or None in (await self._log.offsets_at(0, filled[:1])).values():
            return {}
        found = await self._log.offsets_at(timestamp_ms, filled)
        return {p: bounds[p][1] if offset is None else offset for p, offset in found.items()}

    async def _say_what_is_retained(self, partition: Partition, first: int, selection: Selection) -> None:
        wanted = "the beginning" if selection.since_ms is None else _utc(selection.since_ms)
        self._say(
            f"{partition[0]}[{partition[1]}]: Kafka no longer has the offsets before {first}, so that what was there"
            f" since {wanted} may be missing; it goes on from offset {first}. The archive may have it."
        )

    def _expired(self, partition: Partition, wanted: int, first: int) -> None:
        self._say(
            f"{partition[0]}[{partition[1]}]: offsets {wanted}-{first - 1} have expired; it goes on from {first}."
        )


class ArchiveHistory:
    """What the archive holds of some topics."""

    name = "archive"

    def __init__(self, store: ObjectStore, trusted: TrustedKeys, *, say: Say, tolerant: bool = False) -> None:
        """`tolerant`: an object that is not sound is said and passed over, instead of ending the reading."""
        self._store = store
        self._trusted = trusted
        self._say = say
        self._tolerant = tolerant

    async def pieces(
        self, topics: Sequence[str], selection: Selection, progress: Progress, resume: Resume
    ) -> AsyncIterator[Piece]:
        """Day by day, within a day by topic and partition, up to the ends as they are at the start."""
        since, before = selection.since_ms, selection.before_ms
        found = await extent(self._store, topics, since, before, resume.ends)
        progress.total(found.objects)
        done = None if resume.behind is None else _place(read_data_key(resume.behind), topics)
        first_day = None
        async for day in objects_between(self._store, topics, since, before):
            for name in day:
                if name.first > found.ends.get((name.topic, name.partition), -1):
                    continue
                first_day = first_day or name.day
                piece = None if done is not None and _place(name, topics) <= done else await self._piece(name)
                if piece is None:
                    progress.done(1, 0)
                else:
                    yield replace(piece, ends=found.ends)
        self._say_what_is_held(first_day, selection)

    async def _piece(self, name: DataKey) -> Piece | None:
        found = await self._object(name)
        if found is None:
            return None
        for first, last in found.expired:
            self._say(
                f"{name.topic}[{name.partition}]: offsets {first}-{last} had expired before they were archived;"
                f" it goes on from {last + 1}."
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
            self._say(f"Passed over: {error.detail} ({error.code}).")
            return None
        if found is None:
            self._say(f"{name.key} is linked by nothing and passed over: it is no part of the archive.")
        return found

    def _say_what_is_held(self, first_day: str | None, selection: Selection) -> None:
        if first_day is None:
            self._say("The archive holds nothing of that time.")
        elif selection.since_ms is not None and first_day > f"{_utc(selection.since_ms)}"[:10]:
            self._say(f"The archive holds nothing of that time before {first_day}; it goes on from there.")


History = KafkaHistory | ArchiveHistory


def _place(name: DataKey | None, topics: Sequence[str]) -> tuple[str, int, int, int]:
    """Its place in the order of reading. A key that is none is before all."""
    if name is None or name.topic not in topics:
        return ("", 0, 0, 0)
    return (name.day, topics.index(name.topic), name.partition, name.first)


def _utc(timestamp_ms: int) -> str:
    return f"{datetime.fromtimestamp(timestamp_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
