"""Claims due cleanups, attempts a few at once, and writes the outcomes in batches.

A cleanup is claimed only after its cancellation has ended, so this loop never waits for a Job. One attempt is in
`attempt.py`, the writing of outcomes in `runtime/batching.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from evaluation_cancel.consumer.cleanup.attempt import clean, retry_pause
from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup, Cleaned, CleanupOutcome, RetryCleanup
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.runtime.batching import BatchCompleter
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.s3.port import Artifacts

_UNSTORABLE_PAUSE = 300.0
_log = structlog.get_logger(__name__)


class CleanupStore(Protocol):
    """What the loop needs from Postgres."""

    async def claim_cleanups(self, *, worker: str, limit: int, lease: timedelta) -> list[ClaimedCleanup]:
        """Claims due cleanups of cancellations that have ended."""

    async def finish_cleanups(self, outcomes: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        """Writes outcomes; outcomes of an attempt that is not the row's newest are ignored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupLimits:
    """Bounds on concurrency, and times."""

    at_once: int = 8
    lease: timedelta = timedelta(seconds=120)
    poll: float = 1.0
    """Seconds between claims without a nudge."""


class Cleanup(Loop):
    """The loop."""

    def __init__(
        self,
        *,
        store: CleanupStore,
        artifacts: Artifacts,
        worker: str,
        limits: CleanupLimits | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self._store = store
        self._artifacts = artifacts
        self._worker = worker
        self._limits = limits or CleanupLimits()
        self._now = now
        self._completer: BatchCompleter[ClaimedCleanup, CleanupOutcome] = BatchCompleter(
            store.finish_cleanups, self._on_written, instead=_unstorable, table="cleanups"
        )
        self._running: set[asyncio.Task[None]] = set()
        self._throttle = LogThrottle()
        self.outcomes: Counter[str] = Counter()
        """Number of outcomes so far, by kind."""

    async def run(self) -> None:
        """Claims and attempts until stopped; returns once the outcomes of all attempts are written."""
        try:
            while self.next_round():
                await self._claim()
                await self.wait(self._limits.poll)
            if self._running:
                await asyncio.wait(self._running)
            await self._completer.drain()
        finally:
            for task in self._running:
                task.cancel()
            self._completer.cancel()

    async def _claim(self) -> None:
        capacity = self._limits.at_once - len(self._running)
        if capacity <= 0:
            return  # the end of a running attempt nudges
        try:
            rows = await self._store.claim_cleanups(worker=self._worker, limit=capacity, lease=self._limits.lease)
        except Exception as error:  # noqa: BLE001  # an outage of Postgres; the loop outlives it
            self._log_throttled(
                "cleanup_claim_failed", "Cleanups could not be claimed.", type(error).__name__, str(error)
            )
            return
        self.progressed()
        for row in rows:
            task = asyncio.create_task(self._attempt(row))
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _attempt(self, row: ClaimedCleanup) -> None:
        outcome: CleanupOutcome
        try:
            outcome = await clean(row, self._artifacts, now=self._now)
        except Exception as error:  # noqa: BLE001  # a fault of one row must not end the loop
            _log.error("A cleanup broke off.", action="cleanup_broken", cancellation_id=str(row.id), exc_info=error)
            detail = scrub(f"{type(error).__name__}: {error}")
            pause = retry_pause(row.errors)
            outcome = RetryCleanup(report=row.report, code="internal_error", detail=detail, retry_in=pause)
        self.outcomes[type(outcome).__name__] += 1
        if isinstance(outcome, RetryCleanup) and outcome.code != "continued":
            self._log_throttled("cleanup_retried", "A cleanup will be tried again.", outcome.code, outcome.detail, row)
        elif isinstance(outcome, Cleaned) and outcome.state == "partial":
            _log.warning(
                "A cleanup left something behind.",
                action="cleanup_partial",
                cancellation_id=str(row.id),
                evaluation_id=str(row.evaluation_id),
                codes=dict(outcome.report.failed_codes),
            )
        self._completer.put(row, outcome)

    def _on_written(self, batch: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        if batch:
            self.progressed()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.nudge()

    def _log_throttled(
        self, action: str, sentence: str, code: str, detail: str, row: ClaimedCleanup | None = None
    ) -> None:
        ids: dict[str, Any] = {"cancellation_id": str(row.id), "evaluation_id": str(row.evaluation_id)} if row else {}
        self._throttle.log(_log, (action, code), sentence, action=action, code=code, detail=detail[:300], **ids)


def _unstorable(row: ClaimedCleanup, error: Exception) -> CleanupOutcome:
    """Replaces an outcome that no column or event can hold: the row stays as it was and is retried every 5 minutes."""
    return RetryCleanup(report=row.report, code="unstorable", detail=scrub(str(error)), retry_in=_UNSTORABLE_PAUSE)
