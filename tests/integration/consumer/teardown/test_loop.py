"""The teardown against a Kubernetes API, simulated or real: what ends a cancellation, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from evaluation_cancel.consumer.domain.cancellations import StillStopping
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from tests.support.consumer.cluster_env import LIMITS, QUICK, SLOW_POLLS, ClusterEnv, ended, failed, gone, labelled
from tests.support.fakes.cancellations import Flaky, MemoryCancellations
from tests.support.waiting import until


@pytest.fixture
def store() -> MemoryCancellations:
    return MemoryCancellations()


async def test_a_running_job_and_its_pods_are_gone_when_the_cancellation_ends(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        row = await cluster_env.cancelled(store, pods=2)
        end = await gone(row)
    assert (await cluster_env.raw.job("job")).code == 404
    assert await cluster_env.raw.pods_of(row.job_uid or "") == []
    assert end.evidence.job == row.job_uid
    assert end.evidence.pod_count == 2
    assert all(pod.gone_at is not None for pod in end.evidence.pods)


async def test_pods_that_take_their_time_are_waited_for(cluster_env: ClusterEnv, store: MemoryCancellations) -> None:
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        row = await cluster_env.cancelled(store, ends_after="2")
        await until(lambda: bool(row.history), "a first attempt is over")
        assert isinstance(row.history[0], StillStopping)
        assert await cluster_env.raw.pods_of(row.job_uid or "") != []
        await gone(row)
    assert await cluster_env.raw.pods_of(row.job_uid or "") == []


async def test_without_a_watch_the_slow_poll_finds_the_end(cluster_env: ClusterEnv, store: MemoryCancellations) -> None:
    async with cluster_env.teardown(store, watch=False):
        row = await cluster_env.cancelled(store, ends_after="1")
        await gone(row)


async def test_a_job_that_is_gone_already_is_a_cancellation_that_is_over(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = await cluster_env.cancelled(store)
    await cluster_env.raw.delete_job("job", {"propagationPolicy": "Foreground"})
    await cluster_env.raw.until(lambda: cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/job"))
    async with cluster_env.teardown(store):
        assert (await gone(row)).evidence.job == row.job_uid


async def test_a_job_of_another_evaluation_under_the_same_name_is_never_touched(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = await cluster_env.cancelled(store)
    await cluster_env.raw.delete_job("job", {"propagationPolicy": "Foreground"})
    await cluster_env.raw.until(lambda: cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/job"))
    successor = await cluster_env.job(uuid4())
    async with cluster_env.teardown(store):
        await gone(row)
    assert (await cluster_env.raw.job("job")).uid == successor
    assert await cluster_env.raw.count_pods(successor, "Running") == 1


async def test_a_job_created_again_for_the_evaluation_is_taken_down_too(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = await cluster_env.cancelled(store)
    await cluster_env.raw.delete_job("job", {"propagationPolicy": "Foreground"})
    await cluster_env.raw.until(lambda: cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/job"))
    successor = await cluster_env.job(row.evaluation_id)
    async with cluster_env.teardown(store):
        evidence = (await gone(row)).evidence
    assert await cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/job")
    assert evidence.other_jobs == (successor,)


@pytest.mark.parametrize("spelling", [str.upper, str.title, lambda text: text.replace("-", "")])
async def test_a_second_job_with_any_spelling_of_the_label_is_taken_down_with_the_first(
    cluster_env: ClusterEnv, store: MemoryCancellations, spelling: Callable[[str], str]
) -> None:
    row = await cluster_env.cancelled(store)
    label = {EVALUATION_LABEL: spelling(str(row.evaluation_id))}
    second = (await cluster_env.raw.running_job("second", labels=label, pod_labels=label)).uid
    async with cluster_env.teardown(store):
        evidence = (await gone(row)).evidence
    assert await cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/second")
    assert evidence.other_jobs == (second,)
    assert (evidence.stop_proven, evidence.pod_count) == (True, 2)


async def test_a_job_whose_uid_was_not_recorded_is_found_by_its_label(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = await cluster_env.cancelled(store)
    uid, row.job_uid = row.job_uid, None
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        assert (await gone(row)).evidence.job == uid
    assert (await cluster_env.raw.job("job")).code == 404


async def test_a_job_created_after_the_cancellation_is_found_and_stopped(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = store.add(cluster_env.row())
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        await until(lambda: bool(row.history), "it was looked for")
        assert row.ended is None
        created = await cluster_env.raw.create_job("job", **labelled(row.evaluation_id))
        assert (await gone(row)).evidence.job == created.uid
    assert (await cluster_env.raw.job("job")).code == 404


async def test_a_job_that_never_comes_is_over_after_its_grace(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    row = store.add(cluster_env.row(accepted_at=datetime.now(UTC) - timedelta(hours=1)))
    async with cluster_env.teardown(store):
        assert (await gone(row)).evidence.job == "never seen"


async def test_a_job_under_the_name_without_the_label_is_never_touched(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    stranger = await cluster_env.raw.running_job("job")
    row = store.add(cluster_env.row(accepted_at=datetime.now(UTC) - timedelta(hours=1)))
    async with cluster_env.teardown(store, rules=replace(QUICK, refusal_patience=0.5)):
        assert (await failed(row)).code == "label_missing"
    assert await cluster_env.raw.count_pods(stranger.uid, "Running") == 1


async def test_a_job_of_a_jobset_is_left_alone_and_reported(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    owner = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "name": "training",
        "uid": str(uuid4()),
        "controller": True,
    }
    evaluation_id = uuid4()
    created = await cluster_env.raw.create_job("job", **labelled(evaluation_id), metadata={"ownerReferences": [owner]})
    row = store.add(cluster_env.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with cluster_env.teardown(store):
        assert (await failed(row)).code == "owned_by"
    assert (await cluster_env.raw.job("job")).uid == created.uid
    assert row.intent_at is None


@pytest.mark.parametrize("behaviour", ["completes", "pending", "fails"])
async def test_it_does_not_matter_how_far_the_pods_are(
    cluster_env: ClusterEnv, store: MemoryCancellations, behaviour: str
) -> None:
    evaluation_id = uuid4()
    created = await cluster_env.raw.create_job(
        "job", behaviour=behaviour, node=None if behaviour == "pending" else "node-0", **labelled(evaluation_id)
    )
    row = store.add(cluster_env.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        await gone(row)
    assert (await cluster_env.raw.job("job")).code == 404
    assert await cluster_env.raw.pods_of(created.uid) == []


async def test_a_suspended_job_is_deleted_too(cluster_env: ClusterEnv, store: MemoryCancellations) -> None:
    evaluation_id = uuid4()
    created = await cluster_env.raw.create_job("job", suspend=True, **labelled(evaluation_id))
    row = store.add(cluster_env.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        await gone(row)
    assert (await cluster_env.raw.job("job")).code == 404


async def test_a_job_that_finished_before_its_deletion_is_reported_so(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    evaluation_id = uuid4()
    created = await cluster_env.raw.create_job("job", behaviour="completes", **labelled(evaluation_id))
    await cluster_env.raw.until(lambda: _succeeded(cluster_env))
    row = store.add(cluster_env.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        assert (await gone(row)).evidence.job_finished == "succeeded"


async def test_pods_of_a_job_with_a_selector_of_its_own_are_waited_for(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    evaluation_id, own = uuid4(), {"mine": "yes"}
    label = labelled(evaluation_id)["labels"]
    created = await cluster_env.raw.create_job(
        "job", labels=label, pod_labels=own, ends_after="1", manualSelector=True, selector={"matchLabels": own}
    )
    await cluster_env.raw.until(lambda: _count(cluster_env, "mine=yes"), 1)
    row = store.add(cluster_env.row(evaluation_id=evaluation_id, job_uid=created.uid))
    async with cluster_env.teardown(store):
        await gone(row)
    assert await cluster_env.jobs.pods(cluster_env.raw.namespace, "mine=yes") == []


async def test_many_are_stopped_together(cluster_env: ClusterEnv, store: MemoryCancellations) -> None:
    rows = [await cluster_env.cancelled(store, f"job-{n}") for n in range(20)]
    async with cluster_env.teardown(store, rules=SLOW_POLLS):
        for row in rows:
            await gone(row)


async def test_a_store_that_fails_half_the_time_loses_no_cancellation(
    cluster_env: ClusterEnv, store: MemoryCancellations
) -> None:
    flaky = Flaky(store, share=0.5, seed=7)
    rows = [await cluster_env.cancelled(store, f"job-{n}") for n in range(10)]
    limits = replace(LIMITS, lease=timedelta(seconds=2))  # what a lost claim costs
    async with cluster_env.teardown(flaky, limits=limits):
        await ended(*rows)
    assert flaky.failures > 0
    for row in rows:
        await gone(row)


async def _succeeded(cluster_env: ClusterEnv) -> bool:
    return any(c["type"] == "Complete" for c in (await cluster_env.raw.job_status("job")).get("conditions", ()))


async def _count(cluster_env: ClusterEnv, selector: str) -> int:
    return len(await cluster_env.jobs.pods(cluster_env.raw.namespace, selector))
