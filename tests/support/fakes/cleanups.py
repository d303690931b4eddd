"""The cleanup's store in memory, with the rules of the real store: leases, attempt numbers, retries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup, Cleaned, CleanupOutcome, RetryCleanup


@dataclass(kw_only=True)
class StoredCleanup:
    """One row. `cleaned` is set once; `history` has all outcomes that the store accepted."""

    claim: ClaimedCleanup
    due: float = 0.0
    cleaned: Cleaned | None = None
    history: list[CleanupOutcome] = field(default_factory=list)


class MemoryCleanups:
    """Implements `CleanupStore`."""

    def __init__(self, *claims: ClaimedCleanup) -> None:
        self.rows: dict[UUID, StoredCleanup] = {claim.id: StoredCleanup(claim=claim) for claim in claims}

    async def claim_cleanups(self, *, worker: str, limit: int, lease: timedelta) -> list[ClaimedCleanup]:  # noqa: ARG002
        now = time.monotonic()
        due = [row for row in self.rows.values() if row.cleaned is None and row.due <= now][:limit]
        for row in due:
            row.due = now + lease.total_seconds()
            deadline = now + lease.total_seconds() / 2
            row.claim = replace(row.claim, attempt=row.claim.attempt + 1, deadline=deadline)
        return [row.claim for row in due]

    async def finish_cleanups(self, outcomes: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        for claim, outcome in outcomes:
            row = self.rows[claim.id]
            if row.claim.attempt != claim.attempt or row.cleaned is not None:
                continue
            row.history.append(outcome)
            if isinstance(outcome, RetryCleanup):
                row.due = time.monotonic() + outcome.retry_in
                row.claim = replace(row.claim, report=outcome.report, errors=row.claim.errors + 1)
            else:
                row.cleaned = outcome
