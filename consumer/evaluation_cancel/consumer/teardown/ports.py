"""What the teardown loop needs from outside: its store, and how much it may do at once.

The store is implemented over Postgres elsewhere; the loop is in `loop.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome


class CancellationStore(Protocol):
    """What the loop asks of Postgres."""

    async def claim_cancellations(
        self, *, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
    ) -> list[ClaimedCancellation]:
        """Due rows of these clusters, and those that have none."""

    async def record_intents(self, claims: Sequence[ClaimedCancellation]) -> set[UUID]:
        """Ids of those still held; only these may be deleted, and from now on may have been."""

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        """Writes outcomes; those of an attempt that is no longer the row's last are ignored."""

    async def wake_cancellations(self, evaluation_ids: Sequence[UUID]) -> int:
        """Makes waiting rows due now; answers how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeardownLimits:
    """How much at once."""

    calls_in_flight: int = 32
    """For each cluster."""
    most_held: int = 4000
    """Rows claimed and not yet written back, for each cluster and for those without one."""
    batch: int = 500
    lease: timedelta = timedelta(seconds=60)
    poll: float = 1.0
    """Seconds between claims when nothing nudges."""
