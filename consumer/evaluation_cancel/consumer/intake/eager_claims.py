"""From decision to teardown within one process: cancellations that are opened and claimed in one write.

That spares Postgres a claim and the cancellation a wait, but only while nothing else is due: what waits in Postgres
comes first, a fair share for each team. A crash after the commit leaves claims whose lease ends, as any claim's does.
`decide.py` offers, `teardown/capacity.py` takes; without a teardown in this process nothing is ever claimed
here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation
from evaluation_cancel.consumer.domain.evaluations import LockedEvaluation
from evaluation_cancel.consumer.domain.rows import Opening


class SlotSupplier(Protocol):
    """The teardown, as those see it who bring it work."""

    def reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        """Which of so many new cancellations it has room for, and keeps it for them."""

    def free(self, clusters: Sequence[str | None]) -> None:
        """What was reserved is not needed."""

    def take(self, rows: Sequence[ClaimedCancellation]) -> None:
        """Rows for which room was reserved, committed and claimed."""

    async def roomy(self) -> None:
        """Waits for room, for a moment at most."""


class EagerClaims:
    """Between the loops of one process. `call_margin` is how long a remote call may last at most."""

    def __init__(self, *, worker: str, lease: timedelta, call_margin: timedelta) -> None:
        self.worker = worker
        self.lease = lease
        self._held_for = (lease - call_margin).total_seconds()
        self._taker: SlotSupplier | None = None

    def to(self, taker: SlotSupplier) -> None:
        self._taker = taker

    def offer(self) -> EagerClaim:
        """To be made before the transaction begins, so that our clock never outlasts the database's."""
        return EagerClaim(self._taker, deadline=time.monotonic() + self._held_for)

    async def roomy(self) -> None:
        """For intake, when some have to wait: reading on at once would only make them more."""
        if self._taker is not None:
            await self._taker.roomy()


class EagerClaim:
    """The claims of one transaction."""

    def __init__(self, taker: SlotSupplier | None, *, deadline: float) -> None:
        self._taker = taker
        self._deadline = deadline
        self._claimed: list[ClaimedCancellation] = []

    def choose(self, openings: Sequence[Opening], jobs: Mapping[UUID, LockedEvaluation], now: datetime) -> list[bool]:
        """Which of the cancellations are to be opened claimed; `jobs` are the evaluations' rows, `now` the database's
        time.
        """
        if self._taker is None:
            return [False] * len(openings)
        chosen = self._taker.reserve([o.cluster for o in openings])
        ahead = now - datetime.now(UTC)
        self._claimed += [
            _claimed(opening, jobs[opening.evaluation_id], now, deadline=self._deadline, clock_ahead=ahead)
            for opening, taken in zip(openings, chosen, strict=True)
            if taken
        ]
        return chosen

    def __len__(self) -> int:
        return len(self._claimed)

    def committed(self) -> None:
        if self._taker is not None:
            self._taker.take(self._claimed)

    def withdrawn(self) -> None:
        """The transaction failed, or nobody knows what came of it; then the lease ends what it claimed."""
        if self._taker is not None:
            self._taker.free([row.cluster for row in self._claimed])


def _claimed(
    opening: Opening, job: LockedEvaluation, now: datetime, *, deadline: float, clock_ahead: timedelta
) -> ClaimedCancellation:
    return ClaimedCancellation(
        id=opening.id,
        evaluation_id=opening.evaluation_id,
        team_id=opening.team_id,
        attempt=1,
        phase="accepted",
        status_before=opening.status_before,
        cluster=opening.cluster,
        namespace=job.job_namespace,
        job_name=job.job_name,
        job_uid=job.job_uid,
        accepted_at=now,
        intent_at=None,
        refused_since=None,
        deadline=deadline,
        clock_ahead=clock_ahead,
    )
