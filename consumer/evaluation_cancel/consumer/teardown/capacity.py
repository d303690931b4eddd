"""The queue of one cluster's claimed rows, its capacity, and the slots reserved for new cancellations.

A slow or unreachable cluster must not use up the capacity of the others. Each has its own workers and its own bound on
rows in flight, which shrinks as its attempts get slower. `loop.py` claims rows, `attempt.py` attempts them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome, Retry
from evaluation_cancel.consumer.kubernetes.port import Jobs
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.runtime.nudge import wait_at_most

OUTAGE = frozenset({"unreachable", "timeout", "connection_lost", "server_error", "unauthenticated", "client_error"})
"""Errors of the cluster as a whole rather than of one Job."""
_AWAY_AFTER = 3
_ATTEMPTS_A_CALL = 8
"""Attempts for each call in flight: most of an attempt's time is waiting for its intent, which goes in batches."""
_AHEAD = 2.0
_SMOOTHING = 0.1
_MOST_TROUBLED = 50_000


class ClusterQueue:
    """Rows of one cluster, between claim and written outcome."""

    def __init__(self, name: str, jobs: Jobs, watch_cache: WatchCache, *, calls: int, most: int) -> None:
        self.name = name
        self.jobs = jobs
        self.watch_cache = watch_cache
        self.calls = asyncio.Semaphore(calls)
        """Held by an attempt, except while it waits for Postgres."""
        self._calls_at_once = calls
        self.workers = calls * _ATTEMPTS_A_CALL
        self.queue: asyncio.Queue[ClaimedCancellation] = asyncio.Queue()
        self.held = 0
        """Claimed and not yet written back."""
        self.busy = 0
        """Number of workers with an attempt under way."""
        self._most = max(most, 2 * calls)
        self._seconds = 0.1
        self._outages = 0
        self._troubled: set[UUID] = set()

    def capacity(self) -> int:
        """How many more rows to claim: about two seconds of work, so that no lease expires in the queue."""
        ahead = int(_AHEAD * self._calls_at_once / max(self._seconds, 1e-6))
        return max(0, min(self._most, max(2 * self._calls_at_once, ahead)) - self.held)

    def is_busy(self) -> bool:
        """True if more than half of the rows it may hold are held."""
        return self.capacity() < self.held

    def has_capacity(self) -> bool:
        """True if the capacity is worth a claim."""
        return self.capacity() >= self._calls_at_once

    def note(self, row: ClaimedCancellation, outcome: Outcome, seconds: float) -> AbstractSet[UUID]:
        """Records an attempt and its duration. Returns the evaluations to retry now because the cluster is back."""
        self._seconds += _SMOOTHING * (seconds - self._seconds)
        if isinstance(outcome, Retry) and outcome.code in OUTAGE:
            self._outages += 1
            if len(self._troubled) < _MOST_TROUBLED:
                self._troubled.add(row.evaluation_id)
            return frozenset()
        self._troubled.discard(row.evaluation_id)
        was_away, self._outages = self._outages >= _AWAY_AFTER, 0
        return self.take_troubled() if was_away else frozenset()

    def take_troubled(self) -> AbstractSet[UUID]:
        """Removes and returns the evaluations that an outage delayed; after it they need not wait out their pauses."""
        troubled, self._troubled = self._troubled, set()
        return troubled


_MOST_PATIENCE = 0.2
"""Seconds that intake waits for capacity at most: a slow cluster must not delay decisions."""


class SlotReservations:
    """Reserves slots for new cancellations, only while none is due in Postgres. `place` queues a claimed row."""

    def __init__(
        self, cluster_queues: Mapping[str, ClusterQueue], place: Callable[[ClaimedCancellation], None]
    ) -> None:
        self._cluster_queues = cluster_queues
        self._place = place
        self._open = False
        self._freed = asyncio.Event()

    def open_if(self, nothing_due: bool) -> None:
        """Call after each claim: new cancellations get slots only if nothing was due."""
        self._open = nothing_due
        if nothing_due:
            self._freed.set()

    def close(self) -> None:
        """Reserves no more slots."""
        self._open = False

    def freed(self) -> None:
        """Call when a row has left its cluster's queue."""
        self._freed.set()

    def try_reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        """Reserves a slot for each new cancellation, given by its cluster; False where there is none."""
        return [self._open and self._reserve(cluster) for cluster in clusters]

    def _reserve(self, cluster: str | None) -> bool:
        if cluster is None:
            return True
        cluster_queue = self._cluster_queues.get(cluster)
        if cluster_queue is None:
            return False  # another process works on that cluster
        if cluster_queue.capacity() <= 0:
            self._open = False  # from now on a cancellation waits in Postgres
            return False
        cluster_queue.held += 1
        return True

    def release(self, clusters: Sequence[str | None]) -> None:
        """Gives reserved slots back unused."""
        for cluster in clusters:
            if cluster is not None:
                self._cluster_queues[cluster].held -= 1

    def dispatch(self, rows: Sequence[ClaimedCancellation]) -> None:
        """Starts the teardown of claimed rows in their reserved slots."""
        for row in rows:
            self._place(row)

    async def wait_for_capacity(self) -> None:
        """Returns when new cancellations would get a slot, or after 0.2 seconds."""
        until = time.monotonic() + _MOST_PATIENCE
        while (left := until - time.monotonic()) > 0:
            if self._open and not any(cluster_queue.is_busy() for cluster_queue in self._cluster_queues.values()):
                return
            self._freed.clear()
            await wait_at_most(self._freed, left)
