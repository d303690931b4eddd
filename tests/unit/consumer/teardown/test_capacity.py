"""Slots are reserved for new cancellations only while nothing else is due, and never more than there are."""

from __future__ import annotations

import asyncio

from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.teardown.capacity import ClusterQueue, SlotReservations
from tests.support.fakes.jobs import MemoryJobs


def lane() -> ClusterQueue:
    return ClusterQueue("c", MemoryJobs(), WatchCache(), calls=1, most=4)


def room(kept: ClusterQueue) -> SlotReservations:
    made = SlotReservations({"c": kept}, lambda _row: None)
    made.open_if(nothing_due=True)
    return made


def test_nothing_is_handed_over_while_something_due_waits_in_postgres() -> None:
    kept = lane()
    waiting = room(kept)
    waiting.open_if(nothing_due=False)
    assert waiting.try_reserve(["c", None]) == [False, False]
    assert kept.held == 0


def test_what_is_reserved_is_no_more_than_the_lane_has_room_for() -> None:
    kept = lane()
    asked = ["c"] * 10
    chosen = room(kept).try_reserve(asked)
    assert sum(chosen) == kept.held
    assert kept.capacity() == 0


def test_once_one_has_to_wait_those_after_it_wait_too() -> None:
    kept = lane()
    full = room(kept)
    full.try_reserve(["c"] * 10)
    full.release(["c"] * kept.held)
    assert full.try_reserve(["c"]) == [False], "the one that waits is to be claimed before"


def test_a_cluster_of_another_process_is_left_to_it_and_closes_nothing() -> None:
    kept = lane()
    assert room(kept).try_reserve(["elsewhere", "c", None]) == [False, True, True]


def test_what_was_reserved_for_a_transaction_that_failed_is_free_again() -> None:
    kept = lane()
    failed = room(kept)
    assert failed.try_reserve(["c", None]) == [True, True]
    failed.release(["c", None])
    assert kept.held == 0


async def test_a_wait_for_room_ends_when_a_row_leaves() -> None:
    kept = lane()
    busy = room(kept)
    busy.try_reserve(["c"] * 3)
    waiting = asyncio.ensure_future(busy.wait_for_capacity())
    await asyncio.sleep(0)
    assert not waiting.done()
    kept.held = 0
    busy.freed()
    await asyncio.wait_for(waiting, 30)


async def test_a_wait_for_room_ends_after_a_moment_in_any_case() -> None:
    full = room(lane())
    full.close()
    await asyncio.wait_for(full.wait_for_capacity(), 30)
