"""The loop between store and cluster: bounds, waking, outages, and a stop that leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from consumer.cancellations import ClaimedCancellation, Failed, Gone, Outcome, Retry, StillStopping
from consumer.errors import Refusal, TemporaryError
from consumer.jobs import Job, Jobs
from consumer.teardown import TeardownRules
from consumer.teardown_loop import Teardown
from consumer.teardown_port import CancellationStore, TeardownLimits
from tests.fakes.cancellations import Flaky, MemoryCancellations, Stored
from tests.fakes.jobs import MemoryJobs, job
from tests.waiting import until

LIMITS = TeardownLimits(poll=0.02, calls_in_flight=4)
RULES = TeardownRules(first_look=3600, last_look=3600, backoff_base=3600, backoff_cap=3600)


@asynccontextmanager
async def running(
    store: CancellationStore, jobs: Jobs | Mapping[str, Jobs], **settings: Any
) -> AsyncIterator[Teardown]:
    clusters = jobs if isinstance(jobs, Mapping) else {"local": jobs}
    loop = Teardown(store=store, clusters=clusters, worker="test", **({"limits": LIMITS, "rules": RULES} | settings))
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored(number: int = 1, **changes: Any) -> Stored:
    return Stored(**({"job_name": f"job-{number}", "job_uid": f"uid-{number}"} | changes))


def theirs(row: Stored) -> Job:
    """The running Job of that row."""
    return job(row.evaluation_id, name=row.job_name, uid=row.job_uid)


class Gated(MemoryJobs):
    """Lets calls through only once its gate is open; counts how many wait at most."""

    def __init__(self, *jobs: Job, **settings: Any) -> None:
        super().__init__(*jobs, **settings)
        self.gate = asyncio.Event()
        self.waiting = 0
        self.most = 0

    async def get(self, namespace: str, name: str) -> Job | None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.gate.wait()
        self.waiting -= 1
        return await super().get(namespace, name)


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


async def test_a_slow_cluster_is_given_few_rows_and_the_rest_stay_for_others() -> None:
    store = MemoryCancellations(*(stored(n) for n in range(500)))
    jobs = Gated()
    async with running(store, jobs, limits=replace(LIMITS, most_held=1000)) as loop:
        loop._lanes["local"]._seconds = 10.0
        await until(lambda: jobs.waiting == 4, "calls are waiting")
        before = store.claims
        await until(lambda: store.claims > before + 3, "it went on claiming")
        claimed = sum(row.attempt for row in store.rows.values())
    assert claimed <= 8


async def test_an_end_heard_of_during_an_attempt_is_looked_at_again_at_once() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = Gated(theirs(row), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: jobs.waiting == 1, "it is being looked at")
        loop.on_change(row.evaluation_id, "ended")
        jobs.fail("delete", lambda: None)
        jobs.gate.set()
        await until(lambda: row.attempt >= 2, "it was looked at again")
    assert isinstance(row.history[0], StillStopping)
    assert row.history[0].look_again_in == 0


async def test_an_end_heard_of_while_the_outcome_is_being_written_is_not_lost() -> None:
    row = stored()
    store = _SlowFinish(row)
    jobs = MemoryJobs(theirs(row), lingers=True)
    async with running(store, jobs) as loop:
        await store.reached.wait()
        jobs.jobs.clear()
        loop.on_change(row.evaluation_id, "ended")
        store.go.set()
        await until(lambda: row.ended is not None, "it was looked at again")


async def test_an_end_heard_of_while_the_row_waits_wakes_it() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = MemoryJobs(theirs(row), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: bool(row.history), "the delete was sent")
        jobs.jobs.clear()
        loop.on_change(row.evaluation_id, "ended")
        await until(lambda: row.ended is not None, "it was woken")


async def test_a_job_that_appears_wakes_only_those_who_wait_for_one() -> None:
    waiting, other = stored(1, job_uid=None), stored(2)
    store = MemoryCancellations(waiting, other)
    jobs = MemoryJobs(theirs(other), lingers=True)
    async with running(store, jobs) as loop:
        await until(lambda: bool(waiting.history and other.history), "both wait")
        loop.on_change(other.evaluation_id, "appeared")
        jobs.jobs["new"] = job(waiting.evaluation_id, name="new", uid="new")
        loop.on_change(waiting.evaluation_id, "appeared")
        await until(lambda: waiting.evidence.job == "new", "it was found")
    assert store.woken == [waiting.evaluation_id]


async def test_rows_turned_away_by_an_outage_are_woken_when_the_cluster_is_back() -> None:
    rows = [stored(n) for n in range(6)]
    store = MemoryCancellations(*rows)
    jobs = MemoryJobs()
    jobs.fail("get", *(TemporaryError("unreachable", "away") for _ in rows))
    async with running(store, jobs) as loop:
        await until(lambda: all(row.errors for row in rows), "all were turned away")
        loop.on_reachable("local")
        await until(lambda: not store.open, "all ended")


async def test_one_success_after_an_outage_wakes_all_that_it_turned_away() -> None:
    rows = [stored(n) for n in range(6)]
    store = MemoryCancellations(*rows)
    jobs = MemoryJobs()
    jobs.fail("get", *(TemporaryError("timeout", "away") for _ in rows))
    async with running(store, jobs):
        await until(lambda: all(row.errors for row in rows), "all were turned away")
        store.add(stored(99))
        await until(lambda: not store.open, "all ended")


async def test_rows_that_were_refused_are_not_woken_by_anything_but_their_pause() -> None:
    rows = [stored(n) for n in range(3)]
    store = MemoryCancellations(*rows)
    jobs = MemoryJobs()
    jobs.fail("get", *(Refusal("rbac_denied", "no") for _ in rows))
    async with running(store, jobs) as loop:
        await until(lambda: all(row.errors for row in rows), "all were refused")
        loop.on_reachable("local")
        store.add(stored(99))
        await until(lambda: len(store.open) == 3, "another ended")
    assert all(row.attempt == 1 for row in rows)


async def test_a_row_whose_lease_ran_out_in_the_queue_is_not_begun() -> None:
    row = stored()
    store = MemoryCancellations(row)
    jobs = MemoryJobs(theirs(row))
    async with running(store, jobs, limits=replace(LIMITS, lease=timedelta(seconds=-1))):
        await until(lambda: row.attempt >= 3, "it was claimed again and again")
    assert jobs.calls == []


async def test_nothing_is_deleted_while_intents_cannot_be_recorded() -> None:
    row = stored()
    store = _NoIntents(row)
    jobs = MemoryJobs(theirs(row))
    async with running(store, jobs, limits=replace(LIMITS, lease=timedelta(seconds=60))):
        await until(lambda: bool(row.history), "it was put back")
    assert "delete" not in jobs.verbs
    assert row.ended is None


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
        draining = asyncio.create_task(loop.drain(30))
        await asyncio.sleep(0.05)
        jobs.gate.set()
        assert await draining
    ended = [row for row in store.rows.values() if isinstance(row.ended, Gone)]
    given_back = [row for row in store.open if row.claimed_by is None]
    assert len(ended) == 4
    assert len(given_back) == 4
    assert all(row.due <= time.monotonic() for row in given_back)


async def test_a_stop_that_takes_too_long_is_said() -> None:
    store = MemoryCancellations(stored())
    jobs = Gated()
    async with running(store, jobs) as loop:
        await until(lambda: jobs.waiting == 1, "one is begun")
        assert not await loop.drain(0.05)


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
    jobs = MemoryJobs(*(theirs(row) for row in rows))
    for verb in ("get", "delete", "pods"):
        jobs.fail(verb, *(TemporaryError("connection_lost", "cut", outcome_unknown=True) for _ in range(10)))
    rules = TeardownRules(first_look=0.01, last_look=0.01, backoff_base=0.01, backoff_cap=0.05, refusal_patience=0)
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
    assert loop._lanes["local"].held == len(loop._hand) == 0
    for row in store.open:
        row.due = 0.0  # as when the leases have ended
    second = asyncio.create_task(loop.run())
    await until(lambda: not store.open, "the next run ends them all")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


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
