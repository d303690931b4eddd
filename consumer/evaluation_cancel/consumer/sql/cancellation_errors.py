"""Errors of a cancellation's attempts, and Jobs that appeared after its end; at most 20 rows for each cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from evaluation_cancel.consumer.domain.rows import PutBack
from evaluation_cancel.consumer.sql.database import Transaction, fetch

# From the twentieth on, the latest error replaces the row in the last place; `times` counts them.
REMEMBER_ERRORS = """
INSERT INTO evaluation_cancel.cancellation_errors AS e (cancellation_id, number, attempt, code, detail, at)
SELECT r.id, (SELECT least(count(*) + 1, 20) FROM evaluation_cancel.cancellation_errors x
              WHERE x.cancellation_id = r.id), r.attempt, r.code, r.text, now()
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[]) AS r (id, attempt, code, text)
JOIN evaluation_cancel.cancellations c ON c.id = r.id AND c.attempts = r.attempt
WHERE NOT EXISTS (SELECT FROM evaluation_cancel.cancellation_errors x
                  WHERE x.cancellation_id = r.id AND x.attempt = r.attempt)
ON CONFLICT (cancellation_id, number) DO UPDATE
SET attempt = excluded.attempt, code = excluded.code, detail = excluded.detail, at = excluded.at, times = e.times + 1
"""

THAT_CANCELLED = """
SELECT e.id AS evaluation_id, c.id FROM evaluation_cancel.read_evaluations($1) e
JOIN evaluation_cancel.cancellations c ON c.evaluation_id = e.id AND c.phase = 'cancelled' AND c.ended_at IS NOT NULL
WHERE e.status = 'cancelled'
"""

REMEMBER_LATE_JOB = """
INSERT INTO evaluation_cancel.cancellation_errors AS e (cancellation_id, number, attempt, code, detail, at)
SELECT c.id, (SELECT least(count(*) + 1, 20) FROM evaluation_cancel.cancellation_errors x
              WHERE x.cancellation_id = c.id), c.attempts, 'late_job', $2, now()
FROM evaluation_cancel.cancellations c WHERE c.id = $1
ON CONFLICT (cancellation_id, number) DO UPDATE
SET code = excluded.code, detail = excluded.detail, at = excluded.at, times = e.times + 1
"""


async def remember(tx: Transaction, failed: Sequence[PutBack]) -> None:
    """Keeps the error of each attempt; writing it again changes nothing. Needs the transaction of the put-back."""
    await tx.execute(
        REMEMBER_ERRORS,
        [r.id for r in failed],
        [r.attempt for r in failed],
        [r.code for r in failed],
        [r.text for r in failed],
    )


async def that_cancelled(tx: Transaction, evaluation_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The cancellation that ended each of the evaluations; without evaluations that are not cancelled."""
    return {row["evaluation_id"]: row["id"] for row in await fetch(tx, THAT_CANCELLED, evaluation_ids)}


async def remember_late_job(tx: Transaction, cancellation_id: UUID, detail: str) -> None:
    """Keeps that a Job appeared after the cancellation's end, as one more row among its errors."""
    await tx.execute(REMEMBER_LATE_JOB, cancellation_id, detail)
