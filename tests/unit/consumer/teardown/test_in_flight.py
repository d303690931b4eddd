"""Rows in hand: nothing is deleted without an intent, and nothing that the watch tells of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome, StillStopping
from evaluation_cancel.consumer.domain.errors import TemporaryError
from tests.support.consumer.loops import LIMITS, Gated, job_of, running, stored
from tests.support.fakes.cancellations import MemoryCancellations, Stored
from tests.support.fakes.jobs import MemoryJobs, job
from tests.support.waiting import until


async def test_an_end_heard_of_during_an_attempt_is_looked_at_again_at_once() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = Gated(job_of(row), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: jobs.waiting == 1, "it is being looked at")
        loop.on_change(row.evaluation_id, "ended")
        jobs.fail("delete", lambda: None)
        jobs.gate.set()
        await until(lambda: row.attempt >= 2, "it was looked at again")
    assert isinstance(row.history[0], StillStopping)
    assert row.history[0].poll_again_in == 0


async def test_an_end_heard_of_while_the_outcome_is_being_written_is_not_lost() -> None:
    row = stored()
    store = _SlowFinish(row)
    jobs = MemoryJobs(job_of(row), lingers=True)
    async with running(store, jobs) as loop:
        await store.reached.wait()
        jobs.jobs.clear()
        loop.on_change(row.evaluation_id, "ended")
        store.go.set()
        await until(lambda: row.ended is not None, "it was looked at again")


async def test_an_end_heard_of_while_the_row_waits_wakes_it() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = MemoryJobs(job_of(row), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: bool(row.history), "the delete was sent")
        jobs.jobs.clear()
        loop.on_change(row.evaluation_id, "ended")
        await until(lambda: row.ended is not None, "it was woken")


async def test_a_job_that_appears_wakes_only_those_who_wait_for_one() -> None:
    waiting, other = stored(1, job_uid=None), stored(2)
    store = MemoryCancellations(waiting, other)
    jobs = MemoryJobs(job_of(other), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: bool(waiting.history and other.history), "both wait")
        loop.on_change(other.evaluation_id, "appeared")
        jobs.jobs["new"] = job(waiting.evaluation_id, name="new", uid="new")
        loop.on_change(waiting.evaluation_id, "appeared")
        await until(lambda: waiting.evidence.job == "new", "it was found")
    assert store.woken == [waiting.evaluation_id]


async def test_nothing_is_deleted_while_intents_cannot_be_recorded() -> None:
    row = stored()
    store = _NoIntents(row)
    jobs = MemoryJobs(job_of(row))
    async with running(store, jobs, limits=replace(LIMITS, lease=timedelta(seconds=60))):
        await until(lambda: bool(row.history), "it was put back")
    assert "delete" not in jobs.verbs
    assert row.ended is None


class _SlowFinish(MemoryCancellations):
    """The first outcome is held up on its way into the store."""

    def __init__(self, *rows: Stored) -> None:
        super().__init__(*rows)
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        self.reached.set()
        await self.go.wait()
        await super().finish_cancellations(outcomes)


class _NoIntents(MemoryCancellations):
    async def record_intents(self, held: Sequence[tuple[UUID, int]]) -> set[UUID]:
        raise TemporaryError("connection_lost", f"{len(held)} intents")
