"""Claims due cancellations, attempts many at once, and writes the outcomes in batches.

Each cluster has a bound on calls in flight; an attempt makes one call at a time. A cancellation that waits for pods to
end takes no capacity: it is a row in Postgres again, due when the watch sees a change or at its next poll. One attempt
is in `attempt.py`, the queue of a cluster in `capacity.py`, the rows in flight in `in_flight.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Failed, Outcome, Retry, StillStopping
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.kubernetes.port import Change, Jobs
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.teardown.attempt import attempt, without_cluster
from evaluation_cancel.consumer.teardown.capacity import ClusterQueue, SlotReservations
from evaluation_cancel.consumer.teardown.in_flight import InFlight
from evaluation_cancel.consumer.teardown.ports import CancellationStore, TeardownLimits
from evaluation_cancel.consumer.teardown.rules import TeardownRules, retry_pause

_ROWS_BETWEEN_YIELDS = 8
_log = structlog.get_logger(__name__)


class Teardown(Loop):
    """The loop. `nudge`, `on_change` and `on_reachable` may be called at any time from its event loop."""

    def __init__(
        self,
        *,
        store: CancellationStore,
        clusters: Mapping[str, Jobs],
        worker: str,
        watch_caches: Mapping[str, WatchCache] | None = None,
        rules: TeardownRules | None = None,
        limits: TeardownLimits | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: Callable[[str | None, Outcome, float], None] | None = None,
    ) -> None:
        """`observe` is called with the cluster, the outcome and the seconds of each attempt, for metrics."""
        super().__init__()
        self._store = store
        self._worker = worker
        self._rules = rules or TeardownRules()
        self._limits = limits or TeardownLimits()
        self._now = now
        self._observe = observe
        calls, most = self._limits.calls_in_flight, self._limits.most_held
        self._cluster_queues = {
            name: ClusterQueue(name, jobs, (watch_caches or {}).get(name) or WatchCache(), calls=calls, most=most)
            for name, jobs in clusters.items()
        }
        self._in_flight = InFlight(store, self._limits, on_released=self._on_released, on_woken=self.nudge)
        self._throttle = LogThrottle()
        self._idle = asyncio.Event()
        self._hungry = False
        self.reservations = SlotReservations(self._cluster_queues, self._place)
        """Slots for the cancellations that this process opens itself."""

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of outcomes so far, by kind."""
        return self._in_flight.outcomes

    def on_change(self, evaluation_id: UUID, change: Change) -> None:
        """The watch saw a Job of that evaluation appear, or all of its Jobs and pods end."""
        self._in_flight.on_change(evaluation_id, change)

    def on_reachable(self, cluster: str) -> None:
        """The watch reached that cluster again: retries the rows that its outage delayed."""
        self._in_flight.wake(self._cluster_queues[cluster].take_troubled())

    def stop(self) -> None:
        """Claims no more rows; `run` returns once the outcomes of those in flight are written."""
        super().stop()
        self.reservations.close()

    async def run(self) -> None:
        """Claims and attempts until stopped; returns once the outcomes of all rows in flight are written."""
        try:
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(self._work(queue))
                    for queue in self._cluster_queues.values()
                    for _ in range(queue.workers)
                ]
                await self._claim_until_stopped()
                await self._finish_in_flight()
                for worker in workers:
                    worker.cancel()
        finally:
            self.reservations.close()
            self._release_all()

    async def _claim_until_stopped(self) -> None:
        while self.next_round():
            try:
                more = await self._claim()
            except Exception as error:  # noqa: BLE001  # an outage of Postgres; the loop outlives it
                self._log_claim_failed(error)
                more = False
                await asyncio.sleep(self._limits.poll / 4)
            if not more:
                await self.wait(self._limits.poll)

    async def _claim(self) -> bool:
        """Claims as many rows as there is capacity for. True if more may be due now.

        Fewer rows than the limit does not mean that none are left: unused shares of a team are not given to others.
        """
        available = [queue for queue in self._cluster_queues.values() if queue.has_capacity()]
        capacity = self._limits.most_held * (1 + len(self._cluster_queues)) - len(self._in_flight)
        limit = min(self._limits.batch, capacity, *(queue.capacity() for queue in available))
        self._hungry = limit <= 0 or len(available) < len(self._cluster_queues)
        if limit <= 0:
            return False
        rows = await self._store.claim_cancellations(
            clusters=[cluster_queue.name for cluster_queue in available],
            worker=self._worker,
            limit=limit,
            lease=self._limits.lease,
        )
        self.progressed()
        for row in rows:
            if row.cluster is not None:
                self._cluster_queues[row.cluster].held += 1
            self._place(row)
        self._hungry = self._hungry or bool(rows)
        self.reservations.open_if(not rows and len(available) == len(self._cluster_queues) and not self._stopping)
        return bool(rows)

    def _place(self, row: ClaimedCancellation) -> None:
        self._in_flight.add(row)
        if row.cluster is None:
            self._settle(row, without_cluster(row, self._rules))
            return
        self._cluster_queues[row.cluster].queue.put_nowait(row)

    def _on_released(self, row: ClaimedCancellation) -> None:
        """Called for each row that is no longer in flight: there is capacity again."""
        if row.cluster is not None:
            self._cluster_queues[row.cluster].held -= 1
        self.progressed()
        self.reservations.freed()
        if self._hungry:
            self.nudge()

    async def _work(self, cluster_queue: ClusterQueue) -> None:
        """One worker: one attempt at a time, until cancelled."""
        done = 0
        while True:
            row = await cluster_queue.queue.get()
            cluster_queue.busy += 1
            try:
                async with cluster_queue.calls:
                    await self._begin(cluster_queue, row)
            finally:
                cluster_queue.busy -= 1
                self._idle.set()
            done += 1
            if done % _ROWS_BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)

    async def _begin(self, cluster_queue: ClusterQueue, row: ClaimedCancellation) -> None:
        if time.monotonic() >= row.deadline:
            self._in_flight.drop(row)  # the lease is about to expire; the next claim has a full one
        elif self._stopping:
            self._give_back(row)
        else:
            await self._attempt(cluster_queue, row)

    def _give_back(self, row: ClaimedCancellation) -> None:
        """Makes the row due for the next claim; nothing was attempted."""
        self._settle(row, StillStopping(evidence=row.evidence, poll_again_in=0.0, deleted=False))

    async def _attempt(self, cluster_queue: ClusterQueue, row: ClaimedCancellation) -> None:
        started = time.monotonic()
        intent = _Intent(cluster_queue, self._in_flight, row)
        try:
            outcome = await attempt(
                row,
                cluster_queue.jobs,
                intent.record,
                rules=self._rules,
                now=lambda: self._now() + row.clock_ahead,
                watched=cluster_queue.watch_cache,
            )
        except Exception as error:  # noqa: BLE001  # a fault of one row must not end the worker
            _log.error("An attempt broke off.", action="attempt_broken", cancellation_id=str(row.id), exc_info=error)
            outcome = Retry(
                evidence=row.evidence,
                code="internal_error",
                detail=scrub(f"{type(error).__name__}: {error}"),
                retry_in=retry_pause(row.errors, self._rules),
                refused=False,
            )
        seconds = time.monotonic() - started - intent.seconds
        self._in_flight.wake(cluster_queue.note(row, outcome, seconds))
        if self._observe is not None:
            self._observe(cluster_queue.name, outcome, seconds)
        self._settle(row, outcome)

    def _settle(self, row: ClaimedCancellation, outcome: Outcome) -> None:
        if isinstance(outcome, Retry | Failed):
            self._log_trouble(row, outcome)
        self._in_flight.settle(row, outcome)

    async def _finish_in_flight(self) -> None:
        """Gives back rows that were not begun, waits for the attempts under way, and writes all outcomes."""
        for cluster_queue in self._cluster_queues.values():
            while not cluster_queue.queue.empty():
                self._give_back(cluster_queue.queue.get_nowait())
        while any(queue.busy for queue in self._cluster_queues.values()):
            self._idle.clear()
            await self._idle.wait()
        await self._in_flight.drain()

    def _release_all(self) -> None:
        """Releases all rows, so that a run after a fault has as much capacity as the first."""
        for cluster_queue in self._cluster_queues.values():
            while not cluster_queue.queue.empty():
                self._in_flight.drop(cluster_queue.queue.get_nowait())
        self._in_flight.release_all()

    def _log_trouble(self, row: ClaimedCancellation, outcome: Retry | Failed) -> None:
        fields: dict[str, Any] = {
            "cancellation_id": str(row.id),
            "evaluation_id": str(row.evaluation_id),
            "cluster": row.cluster,
            "attempt": row.attempt,
            "code": outcome.code,
            "detail": outcome.detail,
        }
        if isinstance(outcome, Failed):
            sentence = "A cancellation failed; nothing was deleted."
            _log.error(sentence, action="cancellation_failed", **fields, suppressed=0)
        else:
            sentence = "A cancellation will be tried again."
            self._throttle.log(_log, (row.cluster, outcome.code), sentence, action="cancellation_retried", **fields)

    def _log_claim_failed(self, error: Exception) -> None:
        detail = f"{type(error).__name__}: {error}"[:300]
        sentence = "Cancellations could not be claimed."
        self._throttle.log(_log, "claim_failed", sentence, action="claim_failed", detail=detail)


class _Intent:
    """Records an attempt's intent. Meanwhile the attempt holds no call slot, and the time is not the cluster's."""

    def __init__(self, cluster_queue: ClusterQueue, in_flight: InFlight, row: ClaimedCancellation) -> None:
        self._cluster_queue = cluster_queue
        self._in_flight = in_flight
        self._row = row
        self.seconds = 0.0

    async def record(self) -> bool:
        started = time.monotonic()
        self._cluster_queue.calls.release()
        try:
            return await self._in_flight.record_intent(self._row)
        finally:
            await self._cluster_queue.calls.acquire()
            self.seconds += time.monotonic() - started
