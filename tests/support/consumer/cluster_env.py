"""A namespace of a cluster for Jobs of evaluations, and the teardown loop on it, with a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from deploy.local.kubernetes_simulated import Simulator
from evaluation_cancel.consumer.domain.cancellations import Failed, Gone
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from evaluation_cancel.consumer.kubernetes.port import Jobs
from evaluation_cancel.consumer.kubernetes.watch import ClusterWatch
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.teardown.loop import Teardown
from evaluation_cancel.consumer.teardown.ports import CancellationStore, TeardownLimits
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from tests.support.fakes.cancellations import MemoryCancellations, Stored
from tests.support.kubernetes.raw import Raw
from tests.support.waiting import until

CLUSTER = "local"
LIMITS = TeardownLimits(poll=0.05, lease=timedelta(seconds=60))
SLOW_POLLS = TeardownRules(min_poll_interval=3600.0, max_poll_interval=3600.0, presume_stopped_after=1.0)
"""Polls so rarely that only the watch can end a wait."""
QUICK = TeardownRules(
    min_poll_interval=0.1, max_poll_interval=0.2, backoff_base=0.05, backoff_cap=0.5, presume_stopped_after=1.0
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterEnv:
    """`raw` has the administrator's rights, `jobs` is the service's client."""

    raw: Raw
    jobs: KubernetesJobs
    simulator: Simulator | None = None

    async def job(self, evaluation_id: UUID, name: str = "job", *, pods: int = 1, **settings: Any) -> str:
        """Create a labelled Job, wait until its pods run, and return its uid."""
        created = await self.raw.running_job(name, pods=pods, **labelled(evaluation_id), **settings)
        return created.uid

    async def cancelled(self, store: MemoryCancellations, name: str = "job", **settings: Any) -> Stored:
        """Create a Job and store an accepted cancellation of its evaluation."""
        evaluation_id = uuid4()
        uid = await self.job(evaluation_id, name, **settings)
        return store.add(self.row(evaluation_id=evaluation_id, job_name=name, job_uid=uid))

    def row(self, **changes: Any) -> Stored:
        """A cancellation in this cluster and namespace."""
        return Stored(**({"cluster": CLUSTER, "namespace": self.raw.namespace} | changes))

    @asynccontextmanager
    async def teardown(
        self,
        store: CancellationStore,
        *,
        rules: TeardownRules = QUICK,
        limits: TeardownLimits = LIMITS,
        watch: bool = True,
        more: Mapping[str, Jobs] | None = None,
    ) -> AsyncIterator[Teardown]:
        """Run the loop until the context ends, after the watch is connected. `more` clusters have no watch."""
        watch_cache = WatchCache()
        loop = Teardown(
            store=store,
            clusters={CLUSTER: self.jobs, **(more or {})},
            watch_caches={CLUSTER: watch_cache},
            worker="test",
            rules=rules,
            limits=limits,
        )
        watcher = ClusterWatch(
            self.jobs.calls,
            cluster=CLUSTER,
            watch_cache=watch_cache,
            on_change=loop.on_change,
            on_connected=lambda: loop.on_reachable(CLUSTER),
        )
        tasks: list[asyncio.Task[None]] = []
        if watch:
            tasks.append(asyncio.create_task(watcher.run()))
            await until(lambda: watcher.connected, "the watch is connected")
        tasks.append(asyncio.create_task(loop.run()))
        try:
            yield loop
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def labelled(evaluation_id: UUID) -> dict[str, dict[str, str]]:
    """The evaluation's label on a Job and on its pods."""
    label = {EVALUATION_LABEL: str(evaluation_id)}
    return {"labels": label, "pod_labels": label}


async def ended(*rows: Stored, within: float = 60.0) -> None:
    await until(lambda: all(row.ended is not None for row in rows), "all rows ended", within=within)


async def gone(row: Stored, within: float = 60.0) -> Gone:
    """Wait for the row's outcome, which must be `Gone`."""
    await ended(row, within=within)
    assert isinstance(row.ended, Gone), row.ended
    return row.ended


async def failed(row: Stored) -> Failed:
    """Wait for the row's outcome, which must be `Failed`."""
    await ended(row)
    assert isinstance(row.ended, Failed), row.ended
    return row.ended
