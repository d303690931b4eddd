"""The archive as history: up to what there was at the start, and on from there with nothing left out in the middle."""

from __future__ import annotations

from pathlib import Path

from evaluation_cancel.consumer.audit.archive.writer import ArchiveLimits, Archiver
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, ArchiveHistory, Piece, Resume
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.topic import ProgressFile
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.fakes.audit import MemoryLog, MemoryStore, new_signer, raw_record, trusting

SIGNER = new_signer()
TRUSTED = trusting(SIGNER)
ONE, OTHER = ("commands", 0), ("commands", 1)
DAY = 86_400_000


class Steps:
    """Keeps what it is told of progress."""

    def __init__(self) -> None:
        self.all: int | None = None
        self.so_far = 0

    def total(self, steps: int) -> None:
        self.all = steps

    def done(self, steps: int, records: int) -> None:  # noqa: ARG002
        self.so_far += steps


def records(partition: int, days: list[int]) -> dict[int, RawRecord | None]:
    return {n: raw_record(n, partition=partition, timestamp_ms=day * DAY) for n, day in enumerate(days)}


async def archive(store: MemoryStore, log: MemoryLog) -> None:
    limits = ArchiveLimits(object_bytes=1)
    await Archiver(store=store, open_log=log.open, signer=SIGNER, trusted=TRUSTED, limits=limits).run_once()


class Reading:
    """Reads piece by piece, so that something can happen in between."""

    def __init__(self, store: MemoryStore, selection: Selection | None = None, resume: Resume = FROM_THE_START) -> None:
        self.said: list[str] = []
        self.steps = Steps()
        history = ArchiveHistory(store, TRUSTED, on_remark=self.said.append)
        self._pieces = history.pieces(["commands"], selection or Selection(), self.steps, resume)

    async def next(self) -> Piece | None:
        piece = await anext(self._pieces, None)
        if piece is not None:
            self.steps.done(piece.steps, 0)
        return piece

    async def rest(self) -> list[tuple[int, int]]:
        found = []
        while (piece := await self.next()) is not None:
            found += [(r.partition, r.offset) for r in piece.records]
        return found


async def test_the_whole_is_known_from_the_start_so_that_time_left_can_be_told() -> None:
    store = MemoryStore()
    await archive(store, MemoryLog({ONE: records(0, [1, 1, 2]), OTHER: records(1, [1, 3])}))
    reading = Reading(store)
    assert await reading.next() is not None
    assert (reading.steps.all, reading.steps.so_far) == (5, 1)
    assert await reading.rest() == [(0, 1), (1, 0), (0, 2), (1, 1)]
    assert reading.steps.so_far == 5
    assert reading.said == []


async def test_what_is_archived_meanwhile_is_left_for_another_reading() -> None:
    store = MemoryStore()
    await archive(store, MemoryLog({ONE: records(0, [1]), OTHER: records(1, [1, 1])}))
    reading = Reading(store)
    await reading.next()
    await archive(store, MemoryLog({ONE: records(0, [1, 1, 2]), OTHER: records(1, [1, 1, 1, 2])}))
    assert await reading.rest() == [(1, 0), (1, 1)]


async def test_a_reading_that_is_gone_on_with_leaves_nothing_out_in_the_middle(tmp_path: Path) -> None:
    """Partition 0 grows behind the place that was reached, where a reading that goes on does not look again."""
    store = MemoryStore()
    await archive(store, MemoryLog({ONE: records(0, [1]), OTHER: records(1, [1, 1])}))
    reading, noted = Reading(store), ProgressFile(tmp_path / "p", {}, Selection())
    for _ in range(2):
        piece = await reading.next()
        assert piece is not None
        noted.note(piece)
    await archive(store, MemoryLog({ONE: records(0, [1, 1, 2]), OTHER: records(1, [1, 1, 1])}))
    resume = ProgressFile(tmp_path / "p", {}, Selection()).load()
    again = Reading(store, resume=resume)
    assert await again.rest() == [(1, 1)]
    assert (again.steps.all, again.steps.so_far) == (3, 3)
    assert len(await Reading(store).rest()) == 6


async def test_what_had_expired_before_it_was_archived_is_said() -> None:
    log = MemoryLog({ONE: {n: raw_record(n) for n in range(7, 9)}})
    log.first[ONE] = 7
    store = MemoryStore()
    await archive(store, log)
    reading = Reading(store)
    assert await reading.rest() == [(0, 7), (0, 8)]
    assert reading.said == ["commands[0]: offsets 0-6 had expired before they were archived; reading goes on from 7."]


async def test_a_time_before_the_archive_begins_is_said() -> None:
    store = MemoryStore()
    await archive(store, MemoryLog({ONE: records(0, [5, 6])}))
    reading = Reading(store, Selection(since_ms=2 * DAY))
    assert len(await reading.rest()) == 2
    assert reading.said == ["The archive holds no records of that time before 1970-01-06; reading goes on from there."]
    empty = Reading(store, Selection(since_ms=20 * DAY))
    assert await empty.rest() == []
    assert empty.said == ["The archive holds no records of that time."]
