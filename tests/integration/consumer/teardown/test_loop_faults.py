"""The teardown while the Kubernetes API misbehaves: it may take longer, but nothing fails that need not, nothing is
deleted that must not be, and one stuck Job holds up nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from deploy.local.kubernetes_simulated import Simulator, Which
from evaluation_cancel.consumer.domain.cancellations import Retry, StillStopping
from evaluation_cancel.consumer.kubernetes.port import Job
from tests.support.consumer.cluster_env import LIMITS, QUICK, SLOW_POLLS, ClusterEnv, ended, failed, gone, labelled
from tests.support.fakes.cancellations import MemoryCancellations
from tests.support.fakes.jobs import MemoryJobs
from tests.support.waiting import until

IMPATIENT = replace(QUICK, refusal_patience=0.5)
CONSUMER = "*:consumer"
CALLS = [
    pytest.param(Which(verb="get", resource="jobs", user=CONSUMER), id="get"),
    pytest.param(Which(verb="delete", resource="jobs", user=CONSUMER), id="delete"),
    pytest.param(Which(verb="list", resource="pods", user=CONSUMER), id="list"),
]


@pytest.fixture
def store() -> MemoryCancellations:
    return MemoryCancellations()


@pytest.mark.parametrize("status", [401, 409, 410, 429, 500, 503, 504])
@pytest.mark.parametrize("which", CALLS)
async def test_lost_answers_are_requested_again(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations, which: Which, status: int
) -> None:
    row = await faulty.cancelled(store)
    fault = simulator.faults.answer(status, which, times=3)
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        await gone(row)
    assert fault.hits == 3
    assert (await faulty.raw.job("job")).code == 404


@pytest.mark.parametrize("performed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("which", CALLS)
async def test_a_cut_connection_is_survived(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations, which: Which, performed: bool
) -> None:
    row = await faulty.cancelled(store)
    fault = simulator.faults.cut(which, times=4, performed=performed)
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        await gone(row)
    assert fault.hits >= 1


@pytest.mark.parametrize("which", CALLS)
async def test_an_answer_that_does_not_come_in_time_is_survived(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations, which: Which
) -> None:
    row = await faulty.cancelled(store)
    simulator.faults.delay(2.5, which, times=2)
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        await gone(row)
    assert any(isinstance(outcome, Retry) and outcome.code == "timeout" for outcome in row.history)


async def test_a_throttled_call_waits_for_its_retry_after(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    row = await faulty.cancelled(store)
    simulator.faults.answer(429, Which(verb="delete", user=CONSUMER), times=1, retry_after=1)
    async with faulty.teardown(store, rules=QUICK, watch=False):
        await gone(row)
    throttled = [outcome for outcome in row.history if isinstance(outcome, Retry)]
    assert [outcome.code for outcome in throttled] == ["throttled"]
    assert throttled[0].retry_in >= 1.0


@pytest.mark.parametrize("which", CALLS[:2])
async def test_rights_that_stay_denied_fail_a_cancellation_that_deleted_nothing(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations, which: Which
) -> None:
    row = await faulty.cancelled(store)
    simulator.faults.answer(403, which, times=None)
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        assert (await failed(row)).code == "rbac_denied"
    assert await faulty.raw.count_pods(row.job_uid or "", "Running") == 1


async def test_rights_that_come_in_time_fail_nothing(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    row = await faulty.cancelled(store)
    simulator.faults.answer(403, Which(verb="delete", user=CONSUMER), times=3)
    async with faulty.teardown(store, rules=QUICK, watch=False):
        await gone(row)


@pytest.mark.parametrize("which", [CALLS[0], CALLS[2]])
async def test_rights_lost_after_the_delete_never_fail_a_cancellation(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations, which: Which
) -> None:
    row = await faulty.cancelled(store, ends_after="1")
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        await until(lambda: bool(row.history), "the delete was sent")
        denied = simulator.faults.answer(403, which, times=None)
        await until(lambda: denied.hits >= 8, "it was refused again and again")
        assert row.ended is None
        simulator.faults.remove(denied)
        await gone(row)


async def test_refusals_after_a_lost_answer_never_fail_a_cancellation(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    row = await faulty.cancelled(store)
    delete = Which(verb="delete", resource="jobs", user=CONSUMER)
    denied = simulator.faults.answer(403, delete, times=None)
    # aiohttp sends an idempotent request once more when its connection was cut.
    simulator.faults.cut(delete, times=2, performed=False)
    async with faulty.teardown(store, rules=IMPATIENT, watch=False):
        await until(lambda: denied.hits >= 8, "it was refused again and again")
        assert row.ended is None
        simulator.faults.clear()
        await gone(row)


async def test_an_api_server_that_goes_and_comes_back_delays_and_loses_nothing(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    rows = [await faulty.cancelled(store, f"job-{n}", ends_after="1") for n in range(5)]
    slow_backoff = replace(SLOW_POLLS, backoff_base=600.0, backoff_cap=600.0)
    async with faulty.teardown(store, rules=replace(slow_backoff, refusal_patience=0.1)):
        await until(lambda: all(row.history for row in rows), "all deletes were sent")
        await simulator.stop()
        late = store.add(faulty.row(job_name="late", job_uid="never-there"))
        await until(lambda: bool(late.history), "one was tried while the server was away")
        await simulator.start()
        # Only the news that the server is back can be what ends pauses of minutes.
        await ended(*rows, late)
    for row in [*rows, late]:
        await gone(row)


async def test_pods_created_after_the_delete_are_waited_for(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    simulator.pods_come_late(1.0)
    evaluation_id = uuid4()
    created = await faulty.raw.create_job("job", parallelism=2, **labelled(evaluation_id))
    row = store.add(faulty.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with faulty.teardown(store):
        await gone(row)
        assert (await faulty.raw.job("job")).code == 404
        assert await faulty.raw.pods_of(created.uid) == []


async def test_a_job_that_vanishes_before_its_pods_is_not_taken_for_the_end(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    simulator.jobs_go_before_their_pods(60.0)
    row = await faulty.cancelled(store, ends_after="1")
    async with faulty.teardown(store, rules=SLOW_POLLS):
        await faulty.raw.until(lambda: faulty.raw.is_gone(f"{faulty.raw.jobs}/job"))
        await gone(row)
        assert await faulty.raw.pods_of(row.job_uid or "") == []


async def test_a_job_replaced_between_read_and_delete_is_not_touched(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    row = await faulty.cancelled(store)
    delayed = simulator.faults.delay(0.7, Which(verb="delete", user=CONSUMER))
    async with faulty.teardown(store, watch=False):
        await until(lambda: delayed.hits == 1, "the delete is on its way")
        await faulty.raw.delete_job("job", {"propagationPolicy": "Foreground"})
        await faulty.raw.until(lambda: faulty.raw.is_gone(f"{faulty.raw.jobs}/job"))
        successor = await faulty.job(uuid4())
        await gone(row)
    assert (await faulty.raw.job("job")).uid == successor


async def test_a_list_from_a_stale_cache_proves_nothing(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    simulator.freeze_cache()
    simulator.jobs_go_before_their_pods(60.0)
    row = await faulty.cancelled(store, ends_after="1")
    async with faulty.teardown(store):
        await gone(row)
        assert await faulty.raw.pods_of(row.job_uid or "") == []


async def test_a_job_stuck_in_terminating_stays_open_and_names_its_pods(
    faulty: ClusterEnv, store: MemoryCancellations
) -> None:
    row = await faulty.cancelled(store, behaviour="stuck")
    async with faulty.teardown(store):
        await until(lambda: row.polls >= 5, "it was looked at again and again")
    assert row.ended is None
    assert row.evidence.pod_count == 1
    assert row.evidence.pods[0].gone_at is None


async def test_a_thousand_stuck_jobs_do_not_delay_the_others(faulty: ClusterEnv, store: MemoryCancellations) -> None:
    stuck = [await faulty.cancelled(store, f"stuck-{n}", behaviour="stuck") for n in range(1000)]
    limits = replace(LIMITS, calls_in_flight=4)
    rules = replace(QUICK, min_poll_interval=5.0, max_poll_interval=30.0)
    async with faulty.teardown(store, rules=rules, limits=limits) as teardown:
        await until(lambda: all(row.history for row in stuck), "all thousand are waiting")
        others = [await faulty.cancelled(store, f"other-{n}") for n in range(20)]
        teardown.nudge()
        await ended(*others)
    assert all(row.ended is None for row in stuck)
    assert all(isinstance(outcome, StillStopping) for row in stuck for outcome in row.history)


async def test_a_cluster_that_is_away_holds_up_no_other(faulty: ClusterEnv, simulator: Simulator) -> None:
    """The queue of one that times out fills up; rows of the other are claimed and ended all the same."""
    store = MemoryCancellations()
    away = [store.add(faulty.row(cluster="away", job_name=f"x-{n}", job_uid="u")) for n in range(500)]
    row = await faulty.cancelled(store)
    slow = Hanging()
    async with faulty.teardown(store, rules=SLOW_POLLS, more={"away": slow}):
        await gone(row)
    assert slow.calls
    assert all(each.ended is None for each in away)


async def test_a_row_of_an_unknown_cluster_is_left_to_others(faulty: ClusterEnv, store: MemoryCancellations) -> None:
    elsewhere = store.add(faulty.row(cluster="elsewhere", job_uid="u"))
    row = await faulty.cancelled(store)
    async with faulty.teardown(store):
        await gone(row)
    assert elsewhere.attempt == 0


async def test_an_expired_lease_gives_the_row_to_another(faulty: ClusterEnv, store: MemoryCancellations) -> None:
    """The first holder died after its claim; nobody else needs to know."""
    row = await faulty.cancelled(store)
    await store.claim_cancellations(clusters=["local"], worker="dead", limit=1, lease=timedelta(seconds=0.5))
    async with faulty.teardown(store):
        await gone(row)
    assert row.attempt >= 2


async def test_two_teardowns_share_the_work_and_delete_nothing_twice(
    faulty: ClusterEnv, simulator: Simulator, store: MemoryCancellations
) -> None:
    rows = [await faulty.cancelled(store, f"job-{n}") for n in range(40)]
    async with faulty.teardown(store), faulty.teardown(store):
        await ended(*rows)
    deleted = [seen.name for seen in simulator.requests if seen.verb == "delete" and seen.resource == "jobs"]
    assert sorted(deleted) == sorted(f"job-{n}" for n in range(40))


class Hanging(MemoryJobs):
    """A cluster whose every call hangs."""

    async def get(self, namespace: str, name: str) -> Job | None:
        await super().get(namespace, name)
        await asyncio.Event().wait()
