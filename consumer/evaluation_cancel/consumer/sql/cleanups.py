"""Cleanups of artifacts: claimed and finished like cancellations, in columns of the same row.

A claim is the number in `cleanup_attempts` and the end of its lease in `cleanup_next_at`; writes with an older number
are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.evaluations import ArtifactPlace
from evaluation_cancel.consumer.domain.rows import ClaimedCleanupRow, CleanupEnding, CleanupPutBack, EndedCleanup
from evaluation_cancel.consumer.sql.database import Transaction, fetch_as

CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id FROM evaluation_cancel.cancellations
    WHERE cleanup_state = 'pending' AND phase = 'cancelled' AND ended_at IS NOT NULL AND cleanup_next_at <= now()
    ORDER BY cleanup_next_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE evaluation_cancel.cancellations c
SET cleanup_attempts = c.cleanup_attempts + 1, cleanup_next_at = now() + $2::interval
FROM due WHERE c.id = due.id
RETURNING c.id, c.evaluation_id, c.team_id, c.cleanup_attempts AS attempt, c.cleanup_errors AS errors,
    c.cleanup_deadline_at AS deadline_at, c.cleanup_report AS report
"""

PLACES = """
SELECT id AS evaluation_id, bucket, prefix, request_key FROM evaluation_cancel.read_evaluations($1)
"""

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


async def claim(tx: Transaction, limit: int, lease: timedelta) -> list[ClaimedCleanupRow]:
    """Claims due cleanups, oldest first. Skips rows that another transaction has locked."""
    return await fetch_as(ClaimedCleanupRow, tx, CLAIM, limit, lease)


async def places(tx: Transaction, evaluation_ids: Sequence[UUID]) -> dict[UUID, ArtifactPlace]:
    """Where the artifacts of each evaluation are; without those that do not exist. Locks nothing."""
    return {place.evaluation_id: place for place in await fetch_as(ArtifactPlace, tx, PLACES, evaluation_ids)}


async def put_back(tx: Transaction, rows: Sequence[CleanupPutBack]) -> None:
    """Ends claims whose cleanup goes on later. Pass the rows in the order of their ids, in which they are locked."""
    await tx.execute(
        PUT_BACK,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.pause for r in rows],
        [r.code for r in rows],
        [r.text for r in rows],
        [r.report for r in rows],
    )


async def end(tx: Transaction, rows: Sequence[CleanupEnding]) -> list[EndedCleanup]:
    """Ends cleanups. Returns those that it ended: without those of an older attempt.

    Pass the rows in the order of their ids, in which they are locked.
    """
    return await fetch_as(
        EndedCleanup,
        tx,
        END,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.state for r in rows],
        [r.report for r in rows],
    )
