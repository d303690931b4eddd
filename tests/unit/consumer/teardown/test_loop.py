"""The loop between store and cluster: bounds, outages, faults, and a stop that leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evaluation_cancel.consumer.domain.cancellations import Failed, Gone, Outcome, Retry, StillStopping
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.teardown.loop import Teardown
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from tests.support.consumer.loops import LIMITS, RULES, Gated, job_of, running, stored
from tests.support.fakes.cancellations import Flaky, MemoryCancellations
from tests.support.fakes.jobs import MemoryJobs, job
from tests.support.waiting import until


async def test_rows_without_a_cluster_end_without_a_call() -> None:
    store = MemoryCancellations(*(stored(cluster=None, job_name=None, job_uid=None) for _ in range(700)))
    jobs = MemoryJobs()
    async with running(store, jobs):
        await until(lambda: not store.open, "all ended")
    assert jobs.calls == []


async def test_no_more_calls_are_in_flight_than_allowed() -> None:
    store = MemoryCancellations(*(stored(n) for n in range(50)))
    jobs = Gated()
    async with running(store, jobs):
        await until(lambda: jobs.waiting == 4, "four calls are waiting")
        jobs.gate.set()
        await until(lambda: not store.open, "all ended")
    assert jobs.most == 4


async def test_a_row_whose_lease_ran_out_in_the_queue_is_not_begun() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = MemoryJobs(job_of(row))
    async with running(store, jobs, limits=replace(LIMITS, lease=timedelta(seconds=-1))):
        await until(lambda: row.attempt >= 3, "it was claimed again and again")
    assert jobs.calls == []


async def test_a_mistake_of_ours_costs_one_row_a_pause_and_nobody_else_anything() -> None:
    bad, good = stored(1), stored(2)
    store = MemoryCancellations(bad, good)
    jobs = MemoryJobs()
    jobs.fail("get", KeyError("uid"))
    async with running(store, jobs):
        await until(lambda: len(store.open) == 1, "the other one ended")
        await until(lambda: any(row.history and row.ended is None for row in (bad, good)), "one is put back")
    (broken,) = store.open
    assert isinstance(broken.history[0], Retry)
    assert broken.history[0].code == "internal_error"


async def test_a_stop_gives_back_what_was_not_begun_and_writes_what_was() -> None:
    store = MemoryCancellations(*(stored(n) for n in range(8)))
    jobs = Gated()
    async with running(store, jobs) as loop:
        await until(lambda: jobs.waiting == 4, "four are begun")
        loop.stop()
        jobs.gate.set()
        await until(lambda: all(row.claimed_by is None for row in store.rows.values()), "all is written back")
    ended = [row for row in store.rows.values() if isinstance(row.ended, Gone)]
    given_back = [row for row in store.open if row.claimed_by is None]
    assert len(ended) == 4
    assert len(given_back) == 4
    assert all(row.due <= time.monotonic() for row in given_back)


async def test_an_idle_loop_is_nudged_awake() -> None:
    store = MemoryCancellations()
    async with running(store, MemoryJobs(), limits=replace(LIMITS, poll=3600)) as loop:
        await until(lambda: store.claims == 1, "it found nothing")
        row = store.add(stored())
        loop.nudge()
        await until(lambda: row.ended is not None, "it was claimed")


@pytest.mark.parametrize("seed", range(5))
async def test_with_store_and_cluster_both_failing_every_row_ends_and_none_fails(seed: int) -> None:
    rows = [stored(n) for n in range(30)]
    store = MemoryCancellations(*rows)
    jobs = MemoryJobs(*(job_of(row) for row in rows))
    for verb in ("get", "delete", "pods"):
        jobs.fail(verb, *(TemporaryError("connection_lost", "cut", outcome_unknown=True) for _ in range(10)))
    rules = TeardownRules(
        min_poll_interval=0.01,
        max_poll_interval=0.01,
        backoff_base=0.01,
        backoff_cap=0.05,
        refusal_patience=0,
        presume_stopped_after=0,
    )
    limits = replace(LIMITS, lease=timedelta(seconds=0.5))
    async with running(Flaky(store, share=0.4, seed=seed), jobs, rules=rules, limits=limits):
        await until(lambda: not store.open, "all ended")
    assert all(isinstance(row.ended, Gone) for row in rows)
    assert jobs.jobs == {}
    assert all(row.intent_at for row in rows)


async def test_metrics_hear_of_every_attempt() -> None:
    seen: list[tuple[str | None, Outcome, float]] = []
    rows = [stored(1), stored(2)]
    store = MemoryCancellations(*rows)
    jobs = MemoryJobs(job(rows[0].evaluation_id, name="job-1", uid="uid-1", owned_by="JobSet/x"))
    async with running(store, jobs, observe=lambda *heard: seen.append(heard)) as loop:
        await until(lambda: not store.open, "all ended")
    assert sorted(type(outcome).__name__ for _, outcome, _ in seen) == ["Failed", "Gone"]
    assert {cluster for cluster, _, _ in seen} == {"local"}
    assert isinstance(rows[0].ended, Failed)
    assert loop.outcomes == {"Failed": 1, "Gone": 1}


async def test_a_clock_of_ours_that_is_wrong_makes_no_job_count_as_never_seen() -> None:
    """Whether one may still appear is told by the database's clock, which said when it was accepted."""
    row = stored(job_uid=None, clock_ahead=timedelta(hours=-1))
    store = MemoryCancellations(row)
    async with running(store, MemoryJobs(), now=lambda: datetime.now(UTC) + timedelta(hours=1)):
        await until(lambda: bool(row.history), "it was looked at")
    assert isinstance(row.history[0], StillStopping)


async def test_a_run_that_breaks_off_leaves_the_next_one_all_its_room() -> None:
    store = MemoryCancellations(*(stored(n) for n in range(20)))
    jobs = Gated()
    broken = [RuntimeError("a bug")]

    def observe(*_heard: object) -> None:
        if broken:
            raise broken.pop()

    loop = Teardown(store=store, clusters={"local": jobs}, worker="test", limits=LIMITS, rules=RULES, observe=observe)
    first = asyncio.create_task(loop.run())
    await until(lambda: jobs.waiting == 4, "calls are in flight")
    jobs.gate.set()
    await asyncio.wait([first])
    assert first.exception() is not None
    assert loop._cluster_queues["local"].held == len(loop._in_flight) == 0
    for row in store.open:
        row.due = 0.0  # as when the leases have ended
    second = asyncio.create_task(loop.run())
    await until(lambda: not store.open, "the next run ends them all")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
