"""Cleanups of artifacts: claimed and finished like cancellations, on columns of their own.

A claim is the number in `cleanup_attempts` and an end in `cleanup_next_at`; a finish with an older number is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM evaluation_cancel.cancellations
    WHERE cleanup_state = 'pending' AND phase = 'cancelled' AND ended_at IS NOT NULL AND cleanup_next_at <= now()
    ORDER BY cleanup_next_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE evaluation_cancel.cancellations c
SET cleanup_attempts = c.cleanup_attempts + 1, cleanup_next_at = now() + $2::interval
FROM due WHERE c.id = due.id
RETURNING c.id, c.evaluation_id, c.team_id, c.cleanup_attempts, c.cleanup_errors,
    c.cleanup_deadline_at, c.cleanup_report
"""

WHERE_ARTIFACTS_ARE = "SELECT id, bucket, prefix, request_key FROM evaluation_cancel.read_evaluations($1)"

PUT_BACK = """
UPDATE evaluation_cancel.cancellations c
SET cleanup_next_at = now() + r.pause, cleanup_report = r.report,
    cleanup_error_code = coalesce(r.code, c.cleanup_error_code),
    cleanup_error_text = coalesce(r.text, c.cleanup_error_text),
    cleanup_errors = CASE WHEN r.code IS NULL THEN 0 ELSE c.cleanup_errors + 1 END
FROM unnest($1::uuid[], $2::int[], $3::interval[], $4::text[], $5::text[], $6::jsonb[])
AS r (id, attempt, pause, code, text, report)
WHERE c.id = r.id AND c.cleanup_attempts = r.attempt AND c.cleanup_state = 'pending'
"""

END = """
UPDATE evaluation_cancel.cancellations c
SET cleanup_state = r.state, cleanup_report = r.report, cleanup_next_at = NULL
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::jsonb[]) AS r (id, attempt, state, report)
WHERE c.id = r.id AND c.cleanup_attempts = r.attempt AND c.cleanup_state = 'pending'
RETURNING c.id, c.evaluation_id, c.team_id, c.command_source, c.command_id, c.traceparent, c.correlation_id,
    now() AS finished_at
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupPutBack:
    """A claimed cleanup that goes on later; `code` is None when that is for no error."""

    id: UUID
    attempt: int
    pause: timedelta
    code: str | None
    text: str | None
    report: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupEnding:
    """A cleanup that is over: `done` or `partial`."""

    id: UUID
    attempt: int
    state: str
    report: str


async def claim(tx: Transaction, limit: int, lease: timedelta) -> list[Row]:
    return await fetch(tx, CLAIM, limit, lease)


async def places(tx: Transaction, evaluation_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Bucket, prefix and request key of each evaluation."""
    return {row["id"]: row for row in await fetch(tx, WHERE_ARTIFACTS_ARE, evaluation_ids)}


async def put_back(tx: Transaction, rows: Sequence[CleanupPutBack]) -> None:
    await tx.execute(
        PUT_BACK,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.pause for r in rows],
        [r.code for r in rows],
        [r.text for r in rows],
        [r.report for r in rows],
    )


async def end(tx: Transaction, rows: Sequence[CleanupEnding]) -> list[Row]:
    """Ends them; gives those that were still this attempt's to end."""
    return await fetch(
        tx,
        END,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.state for r in rows],
        [r.report for r in rows],
    )
