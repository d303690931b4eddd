"""One cluster's share of the teardown: its queue of claimed rows, and how it fares.

A cluster that is slow or away must not use up what the others could do: each has its own workers and its own bound on
rows in hand, which shrinks with the pace it keeps. No attempts are made here (`teardown.py`), nothing is claimed
(`teardown_loop.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from uuid import UUID

from consumer.cancellations import ClaimedCancellation, Outcome, Retry
from consumer.jobs import Jobs
from consumer.sightings import Sightings

OUTAGE = frozenset({"unreachable", "timeout", "connection_lost", "server_error", "unauthenticated", "client_error"})
"""Errors of the cluster as a whole rather than of one Job."""
_AWAY_AFTER = 3
_ATTEMPTS_A_CALL = 8
"""Attempts for each call in flight: most of an attempt's time is waiting for its intent, which goes in batches."""
_AHEAD = 2.0
_SMOOTHING = 0.1
_MOST_TROUBLED = 50_000


class Lane:
    """Rows of one cluster, between claim and written outcome."""

    def __init__(self, name: str, jobs: Jobs, sightings: Sightings, *, calls: int, most: int) -> None:
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
        """Room worth a claim of its own."""
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
