"""Claims cleanups that are due and has each attempted, a few at once; hands the outcomes back in batches.

It knows nothing of Jobs and waits for none: a cleanup is claimed only after its cancellation is over. What an attempt
does is in `attempt.py`, how outcomes are written in `runtime/batching.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from evaluation_cancel.consumer.cleanup.attempt import clean, retry_pause
from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup, Cleaned, CleanupOutcome, RetryCleanup
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.runtime.batching import BatchCompleter
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.s3.port import Artifacts

_UNSTORABLE_PAUSE = 300.0
_log = structlog.get_logger(__name__)


class CleanupStore(Protocol):
    """What the loop asks of Postgres."""

    async def claim_cleanups(self, *, worker: str, limit: int, lease: timedelta) -> list[ClaimedCleanup]:
        """Due cleanups of cancellations that are over."""

    async def finish_cleanups(self, outcomes: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        """Writes outcomes; those of an attempt that is no longer the row's last are ignored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupLimits:
    """How much at once."""

    at_once: int = 8
    lease: timedelta = timedelta(seconds=120)
    poll: float = 1.0
    """Seconds between claims when nothing nudges."""


class Cleanup:
    """The loop. `nudge` may be called at any time from its event loop."""

    def __init__(
        self,
        *,
        store: CleanupStore,
        artifacts: Artifacts,
        worker: str,
        limits: CleanupLimits | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._worker = worker
        self._limits = limits or CleanupLimits()
        self._now = now
        self._finisher: BatchCompleter[ClaimedCleanup, CleanupOutcome] = BatchCompleter(
            store.finish_cleanups, self._written, instead=_unstorable, what="cleanups"
        )
        self._running: set[asyncio.Task[None]] = set()
        self._throttle = LogThrottle()
        self._nudged = asyncio.Event()
        self._stopping = False
        self.outcomes: Counter[str] = Counter()
        """How many of each kind so far."""
        self.progressed_at = time.monotonic()
        """When Postgres last answered, for the health check."""

    def nudge(self) -> None:
        """There may be something to claim."""
        self._nudged.set()

    def stop(self) -> None:
        """Claims no more; `run` returns once what is in hand has been written back."""
        self._stopping = True
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled, or stopped and done."""
        try:
            while not self._stopping:
                self._nudged.clear()
                await self._claim()
                await self._wait_for_nudge()
            if self._running:
                await asyncio.wait(self._running)
            await self._finisher.drain()
        finally:
            for task in self._running:
                task.cancel()
            self._finisher.cancel()

    async def _claim(self) -> None:
        room = self._limits.at_once - len(self._running)
        if room <= 0:
            return  # the end of one nudges
        try:
            rows = await self._store.claim_cleanups(worker=self._worker, limit=room, lease=self._limits.lease)
        except Exception as error:  # noqa: BLE001  # an outage of Postgres; the loop outlives it
            self._tell("cleanup_claim_failed", "Cleanups could not be claimed.", type(error).__name__, str(error))
            return
        self.progressed_at = time.monotonic()
        for row in rows:
            task = asyncio.create_task(self._attempt(row))
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _wait_for_nudge(self) -> None:
        # Not wait_for: before Python 3.12 it may swallow a cancellation that comes together with the nudge.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.poll):
                await self._nudged.wait()

    async def _attempt(self, row: ClaimedCleanup) -> None:
        outcome: CleanupOutcome
        try:
            outcome = await clean(row, self._artifacts, now=self._now)
        except Exception as error:  # noqa: BLE001  # one row's trouble is not the loop's
            _log.error("A cleanup broke off.", action="cleanup_broken", cancellation_id=str(row.id), exc_info=error)
            detail = scrub(f"{type(error).__name__}: {error}")
            pause = retry_pause(row.errors)
            outcome = RetryCleanup(report=row.report, code="internal_error", detail=detail, retry_in=pause)
        self.outcomes[type(outcome).__name__] += 1
        if isinstance(outcome, RetryCleanup) and outcome.code != "continued":
            self._tell("cleanup_retried", "A cleanup will be tried again.", outcome.code, outcome.detail, row)
        elif isinstance(outcome, Cleaned) and outcome.state == "partial":
            _log.warning(
                "A cleanup left something behind.",
                action="cleanup_partial",
                cancellation_id=str(row.id),
                evaluation_id=str(row.evaluation_id),
                codes=dict(outcome.report.failed_codes),
            )
        self._finisher.put(row, outcome)

    def _written(self, batch: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        if batch:
            self.progressed_at = time.monotonic()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._nudged.set()

    def _tell(self, action: str, sentence: str, code: str, detail: str, row: ClaimedCleanup | None = None) -> None:
        suppressed = self._throttle.allow((action, code))
        if suppressed is None:
            return
        ids = {"cancellation_id": str(row.id), "evaluation_id": str(row.evaluation_id)} if row else {}
        _log.warning(sentence, action=action, code=code, detail=detail[:300], suppressed=suppressed, **ids)


def _unstorable(row: ClaimedCleanup, error: Exception) -> CleanupOutcome:
    """In place of an outcome that no column or event can hold: the row as it was, to be tried again now and then."""
    return RetryCleanup(report=row.report, code="unstorable", detail=scrub(str(error)), retry_in=_UNSTORABLE_PAUSE)
