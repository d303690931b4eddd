"""One cluster's share of the teardown: its queue of claimed rows, and how it fares.

A cluster that is slow or away must not use up what the others could do: each has its own workers and its own bound on
rows in hand, which shrinks with the pace it keeps. No attempts are made here (`attempt.py`), nothing is claimed
(`loop.py`).
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

    def __init__(self, name: str, jobs: Jobs, sightings: WatchCache, *, calls: int, most: int) -> None:
        self.name = name
        self.jobs = jobs
        self.sightings = sightings
        self.calls = asyncio.Semaphore(calls)
        """Held by an attempt, but not while it waits for Postgres."""
        self._calls_at_once = calls
        self.workers = calls * _ATTEMPTS_A_CALL
        self.queue: asyncio.Queue[ClaimedCancellation] = asyncio.Queue()
        self.held = 0
        """Claimed and not yet written back."""
        self.busy = 0
        """Workers in the midst of an attempt."""
        self._most = max(most, 2 * calls)
        self._seconds = 0.1
        self._outages = 0
        self._troubled: set[UUID] = set()

    def room(self) -> int:
        """How many more rows to claim: what is done in about two seconds, so that no lease ends in the queue."""
        ahead = int(_AHEAD * self._calls_at_once / max(self._seconds, 1e-6))
        return max(0, min(self._most, max(2 * self._calls_at_once, ahead)) - self.held)

    def is_busy(self) -> bool:
        """More than half of what it may hold is held."""
        return self.room() < self.held

    def has_room(self) -> bool:
        """SlotReservations worth a claim of its own."""
        return self.room() >= self._calls_at_once

    def note(self, row: ClaimedCancellation, outcome: Outcome, seconds: float) -> AbstractSet[UUID]:
        """Learns from an attempt. Returns the evaluations to look at again because the cluster is back."""
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
        """Those that an outage turned away, which need not sit out their pauses once it is over."""
        troubled, self._troubled = self._troubled, set()
        return troubled


_MOST_PATIENCE = 0.2
"""Seconds that intake waits for room at most: a slow cluster must not hold decisions up."""


class SlotReservations:
    """`place` puts a row to work for which room was reserved."""

    def __init__(self, lanes: Mapping[str, ClusterQueue], place: Callable[[ClaimedCancellation], None]) -> None:
        self._lanes = lanes
        self._place = place
        self._open = False
        self._freed = asyncio.Event()

    def open_if(self, nothing_due: bool) -> None:
        """After a look into Postgres."""
        self._open = nothing_due
        if nothing_due:
            self._freed.set()

    def close(self) -> None:
        self._open = False

    def freed(self) -> None:
        """A row has left its lane."""
        self._freed.set()

    def reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        """For which of so many new cancellations there is room; it is kept until they are taken, or freed."""
        return [self._open and self._reserve(cluster) for cluster in clusters]

    def _reserve(self, cluster: str | None) -> bool:
        if cluster is None:
            return True
        lane = self._lanes.get(cluster)
        if lane is None:
            return False  # some other process's business
        if lane.room() <= 0:
            self._open = False  # from now on something waits
            return False
        lane.held += 1
        return True

    def free(self, clusters: Sequence[str | None]) -> None:
        for cluster in clusters:
            if cluster is not None:
                self._lanes[cluster].held -= 1

    def take(self, rows: Sequence[ClaimedCancellation]) -> None:
        for row in rows:
            self._place(row)

    async def roomy(self) -> None:
        """Returns when new cancellations would find room, or after a moment."""
        until = time.monotonic() + _MOST_PATIENCE
        while (left := until - time.monotonic()) > 0:
            if self._open and not any(lane.is_busy() for lane in self._lanes.values()):
                return
            self._freed.clear()
            await wait_at_most(self._freed, left)
