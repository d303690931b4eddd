"""The rows that this process has in flight, from their claim until their outcome is written, and their batched writes.

A change that the watch reports meanwhile is not lost: the end of a Job whose row is in flight makes that row due again
at once, because its attempt may have looked before the end. The loop is in `loop.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome, Retry, StillStopping
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.kubernetes.port import Change
from evaluation_cancel.consumer.runtime.batching import BatchCompleter, Batcher
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.teardown.ports import CancellationStore, TeardownLimits

_MOST_AWAITED = 100_000
_UNSTORABLE_PAUSE = 300.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    row: ClaimedCancellation
    changed: bool = False
    """The watch reported a change after this attempt began."""


class InFlight:
    """`on_released` is called for each row that is no longer in flight, `on_woken` when rows have become due."""

    def __init__(
        self,
        store: CancellationStore,
        limits: TeardownLimits,
        *,
        on_released: Callable[[ClaimedCancellation], None],
        on_woken: Callable[[], None],
    ) -> None:
        self._store = store
        self._on_released = on_released
        self._on_woken = on_woken
        self._held: dict[UUID, _Held] = {}
        self._awaited: set[UUID] = set()
        self._throttle = LogThrottle()
        self._completer: BatchCompleter[ClaimedCancellation, Outcome] = BatchCompleter(
            store.finish_cancellations,
            self._on_written,
            instead=_unstorable,
            table="cancellations",
            size=limits.batch,
        )
        self._intents: Batcher[tuple[ClaimedCancellation, asyncio.Future[bool]]] = Batcher(
            self._record_intents, size=limits.batch, linger=0.0, in_flight=2
        )
        self._wakes: Batcher[UUID] = Batcher(self._wake, size=1000, linger=0.005)
        self.outcomes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, row: ClaimedCancellation) -> None:
        """Adds a claimed row."""
        self._held[row.evaluation_id] = _Held(row)

    def drop(self, row: ClaimedCancellation) -> None:
        """Releases a row without writing an outcome; its lease expires."""
        self._on_written([(row, None)])

    def settle(self, row: ClaimedCancellation, outcome: Outcome) -> None:
        """Queues the outcome of a row for writing."""
        self.outcomes[type(outcome).__name__] += 1
        # Only a row whose Job has not appeared yet needs to hear of one that appears.
        unseen = isinstance(outcome, StillStopping) and outcome.evidence.job is None
        if unseen and len(self._awaited) < _MOST_AWAITED:
            self._awaited.add(row.evaluation_id)
        else:
            self._awaited.discard(row.evaluation_id)
        held = self._held.get(row.evaluation_id)
        if isinstance(outcome, StillStopping) and held is not None and held.changed:
            held.changed = False
            outcome = replace(outcome, poll_again_in=0.0)
        self._completer.put(row, outcome)

    def on_change(self, evaluation_id: UUID, change: Change) -> None:
        """The watch saw a Job of that evaluation appear, or all of its Jobs and pods end."""
        held = self._held.get(evaluation_id)
        if held is not None:
            # A Job that appears matters only to a row without a recorded uid.
            held.changed = held.changed or change == "ended" or held.row.job_uid is None
        elif change == "ended" or evaluation_id in self._awaited:
            self._wakes.put(evaluation_id)

    def wake(self, evaluation_ids: Iterable[UUID]) -> None:
        """Makes the waiting rows of these evaluations due now."""
        for evaluation_id in evaluation_ids:
            self._wakes.put(evaluation_id)

    async def record_intent(self, row: ClaimedCancellation) -> bool:
        """True once Postgres has recorded that a DELETE may follow, and this attempt is still the row's newest."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._intents.put((row, answer))
        return await answer

    async def drain(self) -> None:
        """Returns when everything queued so far has been written."""
        await self._intents.drain()
        await self._completer.drain()
        await self._wakes.drain()

    def release_all(self) -> None:
        """Cancels all writes and releases every row; the leases of unwritten rows expire."""
        self._completer.cancel()
        self._intents.cancel()
        self._wakes.cancel()
        self._on_written([(held.row, None) for held in self._held.values()])

    def _on_written(self, batch: Sequence[tuple[ClaimedCancellation, Outcome | None]]) -> None:
        for row, outcome in batch:
            held = self._held.get(row.evaluation_id)
            if held is not None and held.row is row:
                del self._held[row.evaluation_id]
                if held.changed and isinstance(outcome, StillStopping):
                    self._wakes.put(row.evaluation_id)
            self._on_released(row)

    async def _record_intents(self, batch: list[tuple[ClaimedCancellation, asyncio.Future[bool]]]) -> None:
        held: set[UUID] = set()
        try:
            held = await self._store.record_intents([row for row, _ in batch])
        except Exception as error:  # noqa: BLE001  # no intent on record, nothing deleted
            self._log_failure("intent_failed", "Intents could not be recorded, so nothing was deleted.", error)
        for row, answer in batch:
            if not answer.done():
                answer.set_result(row.id in held)

    async def _wake(self, evaluation_ids: list[UUID]) -> None:
        try:
            if await self._store.wake_cancellations(list(dict.fromkeys(evaluation_ids))):
                self._on_woken()
        except Exception as error:  # noqa: BLE001  # their own next look comes anyway
            self._log_failure("wake_failed", "Rows could not be woken, so they wait for their next look.", error)

    def _log_failure(self, action: str, sentence: str, error: Exception) -> None:
        detail = f"{type(error).__name__}: {error}"[:300]
        self._throttle.log(_log, action, sentence, action=action, detail=detail)


def _unstorable(row: ClaimedCancellation, error: Exception) -> Outcome:
    """Replaces an outcome that no column or event can hold: the row stays as it was and is retried every 5 minutes."""
    detail = scrub(str(error))
    return Retry(evidence=row.evidence, code="unstorable", detail=detail, retry_in=_UNSTORABLE_PAUSE, refused=False)
