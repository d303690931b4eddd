"""Claims open cancellations and has each attempted, many at once; hands the outcomes back in batches.

The bound is on calls in flight, for each cluster: an attempt makes one call at a time. A cancellation that waits
for pods to end holds none of them: it is a row in Postgres again, woken by the watch or by its own next look. What an
attempt does is in `attempt.py`, each cluster's queue in `capacity.py`, the rows in hand in `in_flight.py`.
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
from evaluation_cancel.consumer.teardown.attempt import TeardownRules, attempt, retry_pause, without_cluster
from evaluation_cancel.consumer.teardown.capacity import ClusterQueue, SlotReservations
from evaluation_cancel.consumer.teardown.in_flight import InFlight
from evaluation_cancel.consumer.teardown.ports import CancellationStore, TeardownLimits

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
        sightings: Mapping[str, WatchCache] | None = None,
        rules: TeardownRules | None = None,
        limits: TeardownLimits | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: Callable[[str | None, Outcome, float], None] | None = None,
    ) -> None:
        """`observe` is told the cluster, the outcome and the seconds of each attempt, for metrics."""
        super().__init__()
        self._store = store
        self._worker = worker
        self._rules = rules or TeardownRules()
        self._limits = limits or TeardownLimits()
        self._now = now
        self._observe = observe
        calls, most = self._limits.calls_in_flight, self._limits.most_held
        self._lanes = {
            name: ClusterQueue(name, jobs, (sightings or {}).get(name) or WatchCache(), calls=calls, most=most)
            for name, jobs in clusters.items()
        }
        self._in_flight = InFlight(store, self._limits, on_released=self._on_released, on_woken=self.nudge)
        self._throttle = LogThrottle()
        self._idle = asyncio.Event()
        self._hungry = False
        self.room = SlotReservations(self._lanes, self._place)
        """For cancellations that this process opens itself."""

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of outcomes so far, by kind."""
        return self._in_flight.outcomes

    def on_change(self, evaluation_id: UUID, change: Change) -> None:
        """From the watch: a Job of that evaluation appeared, or all of it is gone."""
        self._in_flight.on_change(evaluation_id, change)

    def on_reachable(self, cluster: str) -> None:
        """From the watch: that cluster answers again."""
        self._in_flight.wake(self._lanes[cluster].take_troubled())

    def stop(self) -> None:
        """Claims no more rows; `run` returns once the outcomes of those in flight are written."""
        super().stop()
        self.room.close()

    async def run(self) -> None:
        """Until cancelled, or stopped and done."""
        try:
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(self._work(lane)) for lane in self._lanes.values() for _ in range(lane.workers)
                ]
                await self._claim_until_stopped()
                await self._finish_what_is_in_hand()
                for worker in workers:
                    worker.cancel()
        finally:
            self.room.close()
            self._let_go()

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
        """Claims what there is room for. True if there may be more to claim at once: the shares of teams with little
        due are not given to others, so that less than was asked for is no sign of the end.
        """
        lanes = [lane for lane in self._lanes.values() if lane.has_room()]
        room = self._limits.most_held * (1 + len(self._lanes)) - len(self._in_flight)
        limit = min(self._limits.batch, room, *(lane.room() for lane in lanes))
        self._hungry = limit <= 0 or len(lanes) < len(self._lanes)
        if limit <= 0:
            return False
        rows = await self._store.claim_cancellations(
            clusters=[lane.name for lane in lanes], worker=self._worker, limit=limit, lease=self._limits.lease
        )
        self.progressed()
        for row in rows:
            if row.cluster is not None:
                self._lanes[row.cluster].held += 1
            self._place(row)
        self._hungry = self._hungry or bool(rows)
        self.room.open_if(not rows and len(lanes) == len(self._lanes) and not self._stopping)
        return bool(rows)

    def _place(self, row: ClaimedCancellation) -> None:
        self._in_flight.add(row)
        if row.cluster is None:
            self._settle(row, without_cluster(row, self._rules))
            return
        self._lanes[row.cluster].queue.put_nowait(row)

    def _on_released(self, row: ClaimedCancellation) -> None:
        """Called for each row that was written back: there is room again."""
        if row.cluster is not None:
            self._lanes[row.cluster].held -= 1
        self.progressed()
        self.room.freed()
        if self._hungry:
            self.nudge()

    async def _work(self, lane: ClusterQueue) -> None:
        """One worker: one attempt at a time, until cancelled."""
        done = 0
        while True:
            row = await lane.queue.get()
            lane.busy += 1
            try:
                async with lane.calls:
                    await self._begin(lane, row)
            finally:
                lane.busy -= 1
                self._idle.set()
            done += 1
            if done % _ROWS_BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)

    async def _begin(self, lane: ClusterQueue, row: ClaimedCancellation) -> None:
        if time.monotonic() >= row.deadline:
            self._in_flight.drop(row)  # whoever claims it next has the time
        elif self._stopping:
            self._give_back(row)
        else:
            await self._attempt(lane, row)

    def _give_back(self, row: ClaimedCancellation) -> None:
        """For whoever claims it next; nothing was done."""
        self._settle(row, StillStopping(evidence=row.evidence, poll_again_in=0.0, deleted=False))

    async def _attempt(self, lane: ClusterQueue, row: ClaimedCancellation) -> None:
        started = time.monotonic()
        intent = _Intent(lane, self._in_flight, row)
        try:
            outcome = await attempt(
                row,
                lane.jobs,
                intent.record,
                rules=self._rules,
                now=lambda: self._now() + row.clock_ahead,
                seen_pods=lane.sightings.pods_of,
            )
        except Exception as error:  # noqa: BLE001  # a worker must outlive whatever one row does to it
            _log.error("An attempt broke off.", action="attempt_broken", cancellation_id=str(row.id), exc_info=error)
            outcome = Retry(
                evidence=row.evidence,
                code="internal_error",
                detail=scrub(f"{type(error).__name__}: {error}"),
                retry_in=retry_pause(row.errors, self._rules),
                refused=False,
            )
        seconds = time.monotonic() - started - intent.seconds
        self._in_flight.wake(lane.note(row, outcome, seconds))
        if self._observe is not None:
            self._observe(lane.name, outcome, seconds)
        self._settle(row, outcome)

    def _settle(self, row: ClaimedCancellation, outcome: Outcome) -> None:
        if isinstance(outcome, Retry | Failed):
            self._log_trouble(row, outcome)
        self._in_flight.settle(row, outcome)

    async def _finish_what_is_in_hand(self) -> None:
        """Gives back what was not begun, waits for what was, and writes it all."""
        for lane in self._lanes.values():
            while not lane.queue.empty():
                self._give_back(lane.queue.get_nowait())
        while any(lane.busy for lane in self._lanes.values()):
            self._idle.clear()
            await self._idle.wait()
        await self._in_flight.drain()

    def _let_go(self) -> None:
        """Nobody works on anything any more: without this, a run after a fault would have less room than the first."""
        for lane in self._lanes.values():
            while not lane.queue.empty():
                self._in_flight.drop(lane.queue.get_nowait())
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
    """An attempt's intent. It holds no call's place while Postgres writes it, nor counts as the cluster's time."""

    def __init__(self, lane: ClusterQueue, hand: InFlight, row: ClaimedCancellation) -> None:
        self._lane = lane
        self._in_flight = hand
        self._row = row
        self.seconds = 0.0

    async def record(self) -> bool:
        started = time.monotonic()
        self._lane.calls.release()
        try:
            return await self._in_flight.record_intent(self._row)
        finally:
            await self._lane.calls.acquire()
            self.seconds += time.monotonic() - started
