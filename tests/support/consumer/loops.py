"""Runs the teardown loop with a store and clusters in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from evaluation_cancel.consumer.kubernetes.port import Job, Jobs
from evaluation_cancel.consumer.teardown.loop import Teardown
from evaluation_cancel.consumer.teardown.ports import CancellationStore, TeardownLimits
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from tests.support.fakes.cancellations import Stored
from tests.support.fakes.jobs import MemoryJobs, job

LIMITS = TeardownLimits(poll=0.02, calls_in_flight=4)
RULES = TeardownRules(
    min_poll_interval=3600, max_poll_interval=3600, backoff_base=3600, backoff_cap=3600, presume_stopped_after=0
)
"""There is no watch here, so every end is presumed, at once."""


@asynccontextmanager
async def running(
    store: CancellationStore, jobs: Jobs | Mapping[str, Jobs], **settings: Any
) -> AsyncIterator[Teardown]:
    """Run the loop until the context ends."""
    clusters = jobs if isinstance(jobs, Mapping) else {"local": jobs}
    loop = Teardown(store=store, clusters=clusters, worker="test", **({"limits": LIMITS, "rules": RULES} | settings))
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        if not loop._stopping:  # a stopped loop must end without being cancelled
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored(number: int = 1, **changes: Any) -> Stored:
    """A cancellation with a Job of this number."""
    return Stored(**({"job_name": f"job-{number}", "job_uid": f"uid-{number}"} | changes))


def job_of(row: Stored) -> Job:
    """The running Job of this cancellation."""
    return job(row.evaluation_id, name=row.job_name, uid=row.job_uid)


class Gated(MemoryJobs):
    """Blocks `get` until its gate is open. `most` is the largest number of calls that waited together."""

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
