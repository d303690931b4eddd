"""The watch of a cluster: the changes that it reports, and that a new list makes up for every fault."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from deploy.local.kubernetes_simulated import Simulator, Which
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.port import Change
from evaluation_cancel.consumer.kubernetes.watch import ClusterWatch
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from tests.support.consumer.cluster_env import CLUSTER, ClusterEnv, labelled
from tests.support.environment import unique
from tests.support.kubernetes.raw import Raw
from tests.support.waiting import until


@dataclass(kw_only=True)
class Heard:
    """A running watch and the changes that it reported."""

    watch: ClusterWatch
    watch_cache: WatchCache
    changes: list[tuple[UUID, Change]] = field(default_factory=list)
    connections: int = 0

    def heard(self, evaluation_id: UUID, change: Change) -> bool:
        return (evaluation_id, change) in self.changes

    async def until(self, evaluation_id: UUID, change: Change) -> None:
        await until(lambda: self.heard(evaluation_id, change), f"{change} was reported")


@asynccontextmanager
async def watching(
    cluster_env: ClusterEnv, *, renew_every: float = 60.0, namespaces: tuple[str, ...] = ()
) -> AsyncIterator[Heard]:
    watch_cache = WatchCache()
    changes: list[tuple[UUID, Change]] = []
    reported: list[Heard] = []

    def connected() -> None:
        reported[0].connections += 1

    watch = ClusterWatch(
        cluster_env.jobs.calls,
        cluster=CLUSTER,
        watch_cache=watch_cache,
        on_change=lambda evaluation_id, change: changes.append((evaluation_id, change)),
        on_connected=connected,
        namespaces=namespaces,
        renew_every=renew_every,
    )
    reported.append(Heard(watch=watch, watch_cache=watch_cache, changes=changes))
    task = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.connected, "it is connected")
        yield reported[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def delete(cluster_env: ClusterEnv, name: str = "job") -> None:
    await cluster_env.raw.delete_job(name, {"propagationPolicy": "Foreground"})


async def test_the_appearance_and_the_end_of_a_labelled_job_are_reported(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    async with watching(cluster_env) as heard:
        uid = await cluster_env.job(evaluation_id, pods=2)
        await heard.until(evaluation_id, "appeared")
        await until(lambda: len(heard.watch_cache.pods_of(evaluation_id)) == 2, "its pods were seen")
        assert not heard.heard(evaluation_id, "ended")
        await delete(cluster_env)
        await heard.until(evaluation_id, "ended")
        assert (await cluster_env.raw.job("job")).code == 404
        assert await cluster_env.raw.pods_of(uid) == []
        assert all(pod.gone_at is not None and pod.stopped for pod in heard.watch_cache.pods_of(evaluation_id))


async def test_jobs_without_a_valid_label_are_ignored(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    async with watching(cluster_env) as heard:
        await cluster_env.raw.running_job("stranger")
        await cluster_env.raw.create_job("odd", labels={"evaluations.vijil.ai/evaluation-id": "no-uuid"})
        await cluster_env.job(evaluation_id)
        await heard.until(evaluation_id, "appeared")
        assert {pod.name.rpartition("-")[0] for pod in heard.watch_cache.pods_of(evaluation_id)} <= {"job"}


async def test_jobs_of_other_namespaces_are_left_out_when_some_are_named(cluster_env: ClusterEnv) -> None:
    here = uuid4()
    other = Raw(cluster_env.raw.session, unique("other"))
    await other.create("/api/v1/namespaces", {"metadata": {"name": other.namespace}})
    async with watching(cluster_env, namespaces=(cluster_env.raw.namespace,)) as heard:
        await other.create_job("job", suspend=True, **labelled(uuid4()))
        await cluster_env.job(here)
        await heard.until(here, "appeared")
        assert {evaluation_id for evaluation_id, _ in heard.changes} == {here}
    await other.call("DELETE", f"/api/v1/namespaces/{other.namespace}")


async def test_a_watch_that_is_renewed_often_misses_nothing(cluster_env: ClusterEnv) -> None:
    evaluations = [uuid4() for _ in range(6)]
    async with watching(cluster_env, renew_every=1.0) as heard:
        for number, evaluation_id in enumerate(evaluations):
            await cluster_env.job(evaluation_id, f"job-{number}")
            await delete(cluster_env, f"job-{number}")
            await asyncio.sleep(0.4)
        for evaluation_id in evaluations:
            await heard.until(evaluation_id, "ended")
    ended = [evaluation_id for evaluation_id, change in heard.changes if change == "ended"]
    assert Counter(evaluation_id for evaluation_id in ended if evaluation_id in evaluations) == Counter(evaluations)


async def test_an_end_during_an_outage_is_reported_after_it(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluation_id = uuid4()
    async with watching(faulty) as heard:
        uid = await faulty.job(evaluation_id, ends_after="0.3")
        await until(lambda: len(heard.watch_cache.pods_of(evaluation_id)) == 1, "its pod was seen")
        await delete(faulty)
        await simulator.stop()
        await until(lambda: not heard.watch.connected, "the loss was noticed")
        await until(lambda: heard.watch_cache.covered_since is None, "what happens now may be missed")
        before = heard.connections
        await until(lambda: simulator.store.by_uid(uid) is None, "the Job ended meanwhile")
        simulator.compact()
        await simulator.start()
        await heard.until(evaluation_id, "ended")
        assert heard.connections > before
        await until(lambda: heard.watch_cache.covered_since is not None, "nothing is missed any more")


async def test_an_expired_version_leads_to_a_new_list(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluation_id = uuid4()
    async with watching(faulty, renew_every=1.0) as heard:
        await faulty.job(evaluation_id)
        await until(lambda: len(heard.watch_cache.pods_of(evaluation_id)) == 1, "its pod was seen")
        gone = [
            simulator.faults.answer(410, Which(verb="watch", resource=resource), times=2)
            for resource in ("jobs", "pods")
        ]
        await until(lambda: all(fault.hits for fault in gone), "both streams received 410")
        await delete(faulty)
        await heard.until(evaluation_id, "ended")


async def test_a_watch_without_rights_is_tried_again_until_they_are_granted(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    evaluation_id = uuid4()
    denied = simulator.faults.answer(403, Which(verb="watch", user="*:consumer"), times=3)
    async with watching(faulty) as heard:
        await until(lambda: denied.hits == 3, "it was refused")
        await faulty.job(evaluation_id)
        await heard.until(evaluation_id, "appeared")


async def test_a_stream_that_is_cut_repeatedly_reports_every_end(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluations = [uuid4() for _ in range(5)]
    async with watching(faulty) as heard:
        for number, evaluation_id in enumerate(evaluations):
            await faulty.job(evaluation_id, f"job-{number}")
            simulator.watches.close(abruptly=True)
            await delete(faulty, f"job-{number}")
        for evaluation_id in evaluations:
            await heard.until(evaluation_id, "ended")


async def test_appearances_cause_neither_ends_nor_lists(faulty: ClusterEnv, simulator: Simulator) -> None:
    """On a busy cluster without cancellations the watch causes no polls."""
    evaluation_id = uuid4()
    async with watching(faulty) as heard:
        for number in range(50):
            await faulty.raw.create_job(f"job-{number}", parallelism=0, **labelled(evaluation_id))
        await until(lambda: len(heard.changes) >= 50, "all appeared")
        assert {change for _, change in heard.changes} == {"appeared"}
    assert sum(seen.verb == "list" and seen.user.endswith(":consumer") for seen in simulator.requests) == 2


async def test_a_stream_that_always_ends_at_once_is_asked_for_more_and_more_rarely(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    async with watching(faulty):
        ended = simulator.faults.answer(410, Which(verb="watch", resource="pods"), times=1000)
        await simulator.stop()
        await simulator.start()
        await until(lambda: ended.hits >= 3, "it was asked again")
        begun, hits = asyncio.get_running_loop().time(), ended.hits
        await until(lambda: ended.hits > hits, "and again")
        assert asyncio.get_running_loop().time() - begun > 0.2
        assert ended.hits == hits + 1


async def test_objects_with_a_quarter_of_a_megabyte_of_annotations_break_no_watch(cluster_env: ClusterEnv) -> None:
    large = {"annotations": {f"example.com/{n}": "x" * 32_000 for n in range(8)}}
    first, second = uuid4(), uuid4()
    label = labelled(first)
    await cluster_env.raw.running_job("listed", **label, metadata={"labels": label["labels"], **large})
    async with watching(cluster_env) as heard:
        await until(lambda: heard.watch_cache.pods_of(first), "the pod of the listed one is known")
        label = labelled(second)
        await cluster_env.raw.running_job("watched", **label, metadata={"labels": label["labels"], **large})
        await heard.until(second, "appeared")
        for name, evaluation_id in (("listed", first), ("watched", second)):
            await cluster_env.raw.delete_job(name, {"propagationPolicy": "Foreground"})
            await heard.until(evaluation_id, "ended")
        assert heard.connections == 2  # once for Jobs and once for pods


async def test_thousands_of_jobs_are_known_soon_after_the_start(cluster_env: ClusterEnv) -> None:
    ids = [uuid4() for _ in range(2000)]
    room = asyncio.Semaphore(32)

    async def create(number: int, evaluation_id: UUID) -> None:
        async with room:
            spelled = str(evaluation_id).upper() if number % 2 else evaluation_id.hex
            await cluster_env.raw.create_job(f"job-{number}", suspend=True, labels={EVALUATION_LABEL: spelled})

    await asyncio.gather(*(create(number, each) for number, each in enumerate(ids)))
    async with watching(cluster_env) as heard:
        await until(lambda: all(heard.watch_cache.jobs_of(each) for each in ids), "all Jobs are known")
        await cluster_env.raw.delete_job("job-7")
        await heard.until(ids[7], "ended")
