"""One cluster's share: few rows while it is slow, and those that an outage turned away once it is back."""

from __future__ import annotations

from dataclasses import replace

from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from tests.support.consumer.loops import LIMITS, Gated, running, stored
from tests.support.fakes.cancellations import MemoryCancellations
from tests.support.fakes.jobs import MemoryJobs
from tests.support.waiting import until


async def test_a_slow_cluster_is_given_few_rows_and_the_rest_stay_for_others() -> None:
    store = MemoryCancellations(*(stored(n) for n in range(500)))
    jobs = Gated()
    async with running(store, jobs, limits=replace(LIMITS, most_held=1000)) as loop:
        loop._cluster_queues["local"]._seconds = 10.0
        await until(lambda: jobs.waiting == 4, "calls are waiting")
        before = store.claims
        await until(lambda: store.claims > before + 3, "it went on claiming")
        claimed = sum(row.attempt for row in store.rows.values())
    assert claimed <= 8


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
