"""Claims new cancellations for this process's own teardown in the transaction that opens them.

That saves Postgres a claim and the cancellation a wait. It happens only while no older cancellation is due, because
due rows are claimed first, in fair shares among teams. A crash after the commit leaves claims that expire with their
lease. `decide.py` claims; `teardown/capacity.py` supplies the slots. Without a teardown in this process nothing is
claimed here.
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
    """What the decision code needs from the teardown loop."""

    def try_reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        """Reserves a slot for each new cancellation, given by its cluster; False where there is none."""

    def release(self, clusters: Sequence[str | None]) -> None:
        """Gives reserved slots back unused."""

    def dispatch(self, rows: Sequence[ClaimedCancellation]) -> None:
        """Starts the teardown of claimed rows in their reserved slots."""

    async def wait_for_capacity(self) -> None:
        """Returns when there is capacity, or after a moment."""


class EagerClaims:
    """The eager claims of one process. `call_margin` is the longest that a remote call may last."""

    def __init__(
        self, *, worker: str, lease: timedelta, call_margin: timedelta, supplier: SlotSupplier | None = None
    ) -> None:
        self.worker = worker
        self.lease = lease
        self._held_for = (lease - call_margin).total_seconds()
        self._supplier = supplier

    def offer(self) -> EagerClaim:
        """Call before the transaction begins, so that the deadline here is never after the lease's end in Postgres."""
        return EagerClaim(self._supplier, deadline=time.monotonic() + self._held_for)

    async def wait_for_capacity(self) -> None:
        """For intake while cancellations wait: reading on at once would only add to them."""
        if self._supplier is not None:
            await self._supplier.wait_for_capacity()


class EagerClaim:
    """The claims of one transaction."""

    def __init__(self, supplier: SlotSupplier | None, *, deadline: float) -> None:
        self._supplier = supplier
        self._deadline = deadline
        self._claimed: list[ClaimedCancellation] = []

    def choose(self, openings: Sequence[Opening], jobs: Mapping[UUID, LockedEvaluation], now: datetime) -> list[bool]:
        """Returns for each cancellation whether to open it as claimed.

        `jobs` are the evaluations' rows, `now` is the database's time.
        """
        if self._supplier is None:
            return [False] * len(openings)
        chosen = self._supplier.try_reserve([o.cluster for o in openings])
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
        """Call after the commit: starts the teardown of the claimed rows."""
        if self._supplier is not None:
            self._supplier.dispatch(self._claimed)

    def withdrawn(self) -> None:
        """Call after a failed transaction. If it was committed all the same, its claims expire with their lease."""
        if self._supplier is not None:
            self._supplier.release([row.cluster for row in self._claimed])


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
