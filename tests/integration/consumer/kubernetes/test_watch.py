"""The shared watch: what it tells, and that whatever breaks it is made up for by a new list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from deploy.local.kubernetes_simulated import Simulator, Which
from evaluation_cancel.consumer.kubernetes.port import Change
from evaluation_cancel.consumer.kubernetes.watch import ClusterWatch
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from tests.support.consumer.cluster_env import CLUSTER, ClusterEnv, labelled
from tests.support.waiting import until


@dataclass(kw_only=True)
class Heard:
    """What a watch told."""

    watch: ClusterWatch
    watch_cache: WatchCache
    changes: list[tuple[UUID, Change]] = field(default_factory=list)
    connections: int = 0

    def heard(self, evaluation_id: UUID, change: Change) -> bool:
        return (evaluation_id, change) in self.changes

    async def until(self, evaluation_id: UUID, change: Change) -> None:
        await until(lambda: self.heard(evaluation_id, change), f"{change} was told")


@asynccontextmanager
async def watching(
    cluster_env: ClusterEnv, *, renew_every: float = 60.0, namespaces: tuple[str, ...] = ()
) -> AsyncIterator[Heard]:
    watch_cache = WatchCache()
    changes: list[tuple[UUID, Change]] = []
    told: list[Heard] = []

    def connected() -> None:
        told[0].connections += 1

    watch = ClusterWatch(
        cluster_env.jobs.calls,
        cluster=CLUSTER,
        watch_cache=watch_cache,
        on_change=lambda evaluation_id, change: changes.append((evaluation_id, change)),
        on_connected=connected,
        namespaces=namespaces,
        renew_every=renew_every,
    )
    told.append(Heard(watch=watch, watch_cache=watch_cache, changes=changes))
    task = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.connected, "it is connected")
        yield told[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def delete(cluster_env: ClusterEnv, name: str = "job") -> None:
    await cluster_env.raw.delete_job(name, {"propagationPolicy": "Foreground"})


async def test_the_appearance_and_the_end_of_a_labelled_job_are_told(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    async with watching(cluster_env) as heard:
        uid = await cluster_env.job(evaluation_id, pods=2)
        await heard.until(evaluation_id, "appeared")
        await until(lambda: len(heard.watch_cache.pods_of(uid)) == 2, "its pods were seen")
        assert not heard.heard(evaluation_id, "ended")
        await delete(cluster_env)
        await heard.until(evaluation_id, "ended")
        assert (await cluster_env.raw.job("job")).code == 404
        assert await cluster_env.raw.pods_of(uid) == []
        assert all(pod.gone_at is not None for pod in heard.watch_cache.pods_of(uid))


async def test_jobs_without_the_label_are_none_of_its_business(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    async with watching(cluster_env) as heard:
        await cluster_env.raw.running_job("stranger")
        await cluster_env.raw.create_job("odd", labels={"evaluations.vijil.ai/evaluation-id": "no-uuid"})
        await cluster_env.job(evaluation_id)
        await heard.until(evaluation_id, "appeared")
        assert {told for told, _ in heard.changes if told == evaluation_id} == {evaluation_id}
        assert len(heard.watch_cache.pods_of((await cluster_env.raw.job("stranger")).uid)) == 0


async def test_jobs_of_other_namespaces_are_left_out_when_some_are_named(cluster_env: ClusterEnv) -> None:
    here = uuid4()
    async with watching(cluster_env, namespaces=(cluster_env.raw.namespace,)) as heard:
        await cluster_env.job(here)
        await heard.until(here, "appeared")
        assert {told for told, _ in heard.changes} == {here}


async def test_a_watch_that_is_renewed_often_misses_nothing(cluster_env: ClusterEnv) -> None:
    evaluations = [uuid4() for _ in range(6)]
    async with watching(cluster_env, renew_every=1.0) as heard:
        for number, evaluation_id in enumerate(evaluations):
            await cluster_env.job(evaluation_id, f"job-{number}")
            await delete(cluster_env, f"job-{number}")
            await asyncio.sleep(0.4)
        for evaluation_id in evaluations:
            await heard.until(evaluation_id, "ended")
    told = [told for told, change in heard.changes if change == "ended" and told in evaluations]
    assert sorted(map(str, told)) == sorted(map(str, evaluations))


async def test_what_ended_while_the_server_was_away_is_told_when_it_is_back(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    evaluation_id = uuid4()
    async with watching(faulty) as heard:
        uid = await faulty.job(evaluation_id, ends_after="0.3")
        await until(lambda: len(heard.watch_cache.pods_of(uid)) == 1, "its pod was seen")
        await delete(faulty)
        await simulator.stop()
        await until(lambda: not heard.watch.connected, "the loss was noticed")
        before = heard.connections
        await until(lambda: simulator.store.by_uid(uid) is None, "the Job ended meanwhile")
        simulator.compact()
        await simulator.start()
        await heard.until(evaluation_id, "ended")
        assert heard.connections > before


async def test_a_version_that_the_server_has_forgotten_leads_to_a_new_list(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    evaluation_id = uuid4()
    async with watching(faulty, renew_every=1.0) as heard:
        uid = await faulty.job(evaluation_id)
        await until(lambda: len(heard.watch_cache.pods_of(uid)) == 1, "its pod was seen")
        gone = [
            simulator.faults.answer(410, Which(verb="watch", resource=resource), times=2)
            for resource in ("jobs", "pods")
        ]
        await until(lambda: all(fault.hits for fault in gone), "both streams were told 410")
        await delete(faulty)
        await heard.until(evaluation_id, "ended")


async def test_denied_rights_only_cost_the_watch_and_are_asked_for_again(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    evaluation_id = uuid4()
    denied = simulator.faults.answer(403, Which(verb="watch", user="*:consumer"), times=3)
    async with watching(faulty) as heard:
        await until(lambda: denied.hits == 3, "it was refused")
        await faulty.job(evaluation_id)
        await heard.until(evaluation_id, "appeared")


async def test_a_stream_cut_again_and_again_still_tells_everything(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluations = [uuid4() for _ in range(5)]
    async with watching(faulty) as heard:
        for number, evaluation_id in enumerate(evaluations):
            await faulty.job(evaluation_id, f"job-{number}")
            simulator.watches.close(abruptly=True)
            await delete(faulty, f"job-{number}")
        for evaluation_id in evaluations:
            await heard.until(evaluation_id, "ended")


async def test_appearances_alone_make_no_ends_and_no_lists(faulty: ClusterEnv, simulator: Simulator) -> None:
    """A busy cluster in which nobody cancels wakes nobody for what only begins."""
    evaluation_id = uuid4()
    async with watching(faulty) as heard:
        for number in range(50):
            await faulty.raw.create_job(f"job-{number}", parallelism=0, **labelled(evaluation_id))
        await until(lambda: len(heard.changes) >= 50, "all appeared")
        assert {change for _, change in heard.changes} == {"appeared"}
    assert sum(seen.verb == "list" and seen.user.endswith(":consumer") for seen in simulator.requests) == 2
