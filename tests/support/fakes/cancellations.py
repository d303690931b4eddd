"""The teardown's store in memory, with the rules of the real store: leases, attempt numbers, intents, waking.

`Flaky` wraps any store and fails calls before or after performing them, as a broken connection does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from evaluation_cancel.consumer.domain.cancellations import (
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    Retry,
    StillStopping,
    TeardownEvidence,
)
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.teardown.ports import CancellationStore

CALL_MARGIN = 10.0


@dataclass(kw_only=True)
class Stored:
    """One row. `ended` is set once; `history` has all outcomes that the store accepted."""

    id: UUID = field(default_factory=uuid4)
    evaluation_id: UUID = field(default_factory=uuid4)
    cluster: str | None = "local"
    namespace: str | None = "default"
    job_name: str | None = "job"
    job_uid: str | None = None
    accepted_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    attempt: int = 0
    polls: int = 0
    errors: int = 0
    intent_at: datetime | None = None
    refused_since: datetime | None = None
    evidence: TeardownEvidence = field(default_factory=TeardownEvidence)
    due: float = 0.0
    claimed_by: str | None = None
    clock_ahead: timedelta = timedelta(0)
    ended: Gone | Failed | None = None
    history: list[Outcome] = field(default_factory=list)


class MemoryCancellations:
    """Implements `CancellationStore`."""

    def __init__(self, *rows: Stored) -> None:
        self.rows = {row.id: row for row in rows}
        self.claims = 0
        self.woken: list[UUID] = []

    def add(self, row: Stored) -> Stored:
        self.rows[row.id] = row
        return row

    @property
    def open(self) -> list[Stored]:
        return [row for row in self.rows.values() if row.ended is None]

    async def claim_cancellations(
        self, *, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
    ) -> list[ClaimedCancellation]:
        now = time.monotonic()
        self.claims += 1
        due = [r for r in self.open if r.due <= now and (r.cluster is None or r.cluster in clusters)]
        due.sort(key=lambda row: row.due)
        for row in due[:limit]:
            row.attempt += 1
            row.claimed_by = worker
            row.due = now + lease.total_seconds()
        seconds = lease.total_seconds()
        return [_claimed(row, now + seconds - min(CALL_MARGIN, seconds / 2)) for row in due[:limit]]

    async def record_intents(self, claims: Sequence[ClaimedCancellation]) -> set[UUID]:
        recorded = set()
        for claim in claims:
            row = self.rows[claim.id]
            if row.attempt == claim.attempt and row.ended is None and row.due > time.monotonic():
                row.intent_at = row.intent_at or datetime.now(UTC)
                recorded.add(claim.id)
        return recorded

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        for claimed, outcome in outcomes:
            row = self.rows[claimed.id]
            if row.attempt == claimed.attempt and row.ended is None:
                self._finish(row, outcome)

    async def wake_cancellations(self, evaluation_ids: Sequence[UUID]) -> int:
        wanted, now = set(evaluation_ids), time.monotonic()
        waiting = [r for r in self.open if r.evaluation_id in wanted and r.claimed_by is None and r.due > now]
        for row in waiting:
            row.due = now
        self.woken += [row.evaluation_id for row in waiting]
        return len(waiting)

    def _finish(self, row: Stored, outcome: Outcome) -> None:
        row.history.append(outcome)
        row.evidence = outcome.evidence
        row.claimed_by = None
        match outcome:
            case Gone() | Failed():
                row.ended = outcome
            case StillStopping():
                row.polls, row.errors, row.refused_since = row.polls + 1, 0, None
                row.due = time.monotonic() + outcome.poll_again_in
            case Retry():
                row.polls, row.errors = 0, row.errors + 1
                row.due = time.monotonic() + outcome.retry_in
                row.refused_since = (row.refused_since or datetime.now(UTC)) if outcome.refused else None
                row.intent_at = None if outcome.refused else row.intent_at


class Flaky:
    """Fails about `share` of the calls of a store, half of them after performing the call."""

    def __init__(self, store: CancellationStore, *, share: float, seed: int) -> None:
        self._store = store
        self._share = share
        self._random = random.Random(seed)
        self.failures = 0

    async def claim_cancellations(
        self, *, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
    ) -> list[ClaimedCancellation]:
        self._before()
        claimed = await self._store.claim_cancellations(clusters=clusters, worker=worker, limit=limit, lease=lease)
        self._after()
        return claimed

    async def record_intents(self, claims: Sequence[ClaimedCancellation]) -> set[UUID]:
        self._before()
        recorded = await self._store.record_intents(claims)
        self._after()
        return recorded

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        self._before()
        await self._store.finish_cancellations(outcomes)
        self._after()

    async def wake_cancellations(self, evaluation_ids: Sequence[UUID]) -> int:
        self._before()
        woken = await self._store.wake_cancellations(evaluation_ids)
        self._after()
        return woken

    def _before(self) -> None:
        self._maybe_fail("not performed")

    def _after(self) -> None:
        self._maybe_fail("performed")

    def _maybe_fail(self, what: str) -> None:
        if self._random.random() < self._share / 2:
            self.failures += 1
            raise TemporaryError("connection_lost", what)


def _claimed(row: Stored, deadline: float) -> ClaimedCancellation:
    return ClaimedCancellation(
        id=row.id,
        evaluation_id=row.evaluation_id,
        team_id="team",
        attempt=row.attempt,
        polls=row.polls,
        errors=row.errors,
        phase="stopping",
        status_before="created" if row.cluster is None else "running",
        cluster=row.cluster,
        namespace=row.namespace,
        job_name=row.job_name,
        job_uid=row.job_uid,
        accepted_at=row.accepted_at,
        intent_at=row.intent_at,
        refused_since=row.refused_since,
        evidence=replace(row.evidence),
        deadline=deadline,
        clock_ahead=row.clock_ahead,
    )
