"""The rows this process has in hand, from claim until their outcome is written, and the batched writes about them.

It also keeps what the watch tells from being lost in between: an end that is seen while a row is in hand makes that row
due again at once, because what its attempt saw may be older than the end. See `loop.py` for the whole.
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
    """The watch told of something after this attempt began."""


class InFlight:
    """`released` is called for each row that is no longer in hand, `woken` when rows have become due."""

    def __init__(
        self,
        store: CancellationStore,
        limits: TeardownLimits,
        *,
        released: Callable[[ClaimedCancellation], None],
        woken: Callable[[], None],
    ) -> None:
        self._store = store
        self._released = released
        self._woken = woken
        self._held: dict[UUID, _Held] = {}
        self._awaited: set[UUID] = set()
        self._throttle = LogThrottle()
        self._finisher: BatchCompleter[ClaimedCancellation, Outcome] = BatchCompleter(
            store.finish_cancellations,
            self._written,
            instead=_unstorable,
            what="cancellations",
            size=limits.batch,
        )
        self._intents: Batcher[tuple[ClaimedCancellation, asyncio.Future[bool]]] = Batcher(
            self._record_intents, size=limits.batch, linger=0.0, in_flight=2
        )
        self._wakes: Batcher[UUID] = Batcher(self._wake, size=1000, linger=0.005)
        self.outcomes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, row: ClaimedCancellation) -> None:
        self._held[row.evaluation_id] = _Held(row)

    def drop(self, row: ClaimedCancellation) -> None:
        """Lets go of a row without a word; its lease ends by itself."""
        self._written([(row, None)])

    def settle(self, row: ClaimedCancellation, outcome: Outcome) -> None:
        """Hands an outcome on to be written."""
        self.outcomes[type(outcome).__name__] += 1
        # Those alone whose Job has not appeared yet have use for the news that one did.
        unseen = isinstance(outcome, StillStopping) and outcome.evidence.job is None
        if unseen and len(self._awaited) < _MOST_AWAITED:
            self._awaited.add(row.evaluation_id)
        else:
            self._awaited.discard(row.evaluation_id)
        held = self._held.get(row.evaluation_id)
        if isinstance(outcome, StillStopping) and held is not None and held.changed:
            held.changed = False
            outcome = replace(outcome, poll_again_in=0.0)
        self._finisher.put(row, outcome)

    def on_change(self, evaluation_id: UUID, change: Change) -> None:
        held = self._held.get(evaluation_id)
        if held is not None:
            # That a Job appeared is news only to those who do not know theirs.
            held.changed = held.changed or change == "ended" or held.row.job_uid is None
        elif change == "ended" or evaluation_id in self._awaited:
            self._wakes.put(evaluation_id)

    def wake(self, evaluation_ids: Iterable[UUID]) -> None:
        for evaluation_id in evaluation_ids:
            self._wakes.put(evaluation_id)

    async def record_intent(self, row: ClaimedCancellation) -> bool:
        """True once Postgres has it that a DELETE may follow, and that this attempt is still the row's last."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._intents.put((row, answer))
        return await answer

    async def drain(self) -> None:
        await self._intents.drain()
        await self._finisher.drain()
        await self._wakes.drain()

    def let_go(self) -> None:
        """Writes no more and holds nothing any more; leases cover what was not written."""
        self._finisher.cancel()
        self._intents.cancel()
        self._wakes.cancel()
        self._written([(held.row, None) for held in self._held.values()])

    def _written(self, batch: Sequence[tuple[ClaimedCancellation, Outcome | None]]) -> None:
        for row, outcome in batch:
            held = self._held.get(row.evaluation_id)
            if held is not None and held.row is row:
                del self._held[row.evaluation_id]
                if held.changed and isinstance(outcome, StillStopping):
                    self._wakes.put(row.evaluation_id)
            self._released(row)

    async def _record_intents(self, batch: list[tuple[ClaimedCancellation, asyncio.Future[bool]]]) -> None:
        held: set[UUID] = set()
        try:
            held = await self._store.record_intents([row for row, _ in batch])
        except Exception as error:  # noqa: BLE001  # no intent on record, nothing deleted
            self._tell("intent_failed", "Intents could not be recorded, so nothing was deleted.", error)
        for row, answer in batch:
            if not answer.done():
                answer.set_result(row.id in held)

    async def _wake(self, evaluation_ids: list[UUID]) -> None:
        try:
            if await self._store.wake_cancellations(list(dict.fromkeys(evaluation_ids))):
                self._woken()
        except Exception as error:  # noqa: BLE001  # their own next look comes anyway
            self._tell("wake_failed", "Rows could not be woken, so they wait for their next look.", error)

    def _tell(self, action: str, sentence: str, error: Exception) -> None:
        suppressed = self._throttle.allow(action)
        if suppressed is not None:
            _log.warning(
                sentence, action=action, detail=f"{type(error).__name__}: {error}"[:300], suppressed=suppressed
            )


def _unstorable(row: ClaimedCancellation, error: Exception) -> Outcome:
    """In place of an outcome that no column or event can hold: the row as it was, to be tried again now and then."""
    detail = scrub(str(error))
    return Retry(evidence=row.evidence, code="unstorable", detail=detail, retry_in=_UNSTORABLE_PAUSE, refused=False)
