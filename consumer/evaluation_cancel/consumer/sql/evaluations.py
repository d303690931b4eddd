"""Evaluations, reached through the SQL functions only, so that they may live in anybody's table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

LOCK = """
SELECT id, team_id, status, cluster, ended_at, job_namespace, job_name, job_uid
FROM evaluation_cancel.lock_evaluations($1)
"""
EXISTING = "SELECT id FROM evaluation_cancel.read_evaluations($1)"
TOUCH = "SELECT evaluation_cancel.touch_evaluations($1)"
CANCEL = "SELECT evaluation_cancel.cancel_evaluations($1, $2)"

# An evaluation has an open cancellation or an ended one to name, never both that matter: the open one is asked of all,
# the one that ended it only of those that are cancelled.
FENCES = """
SELECT evaluation_id, id, true AS open FROM evaluation_cancel.cancellations
WHERE evaluation_id = ANY ($1) AND ended_at IS NULL
UNION ALL
SELECT evaluation_id, id, false FROM evaluation_cancel.cancellations
WHERE evaluation_id = ANY ($2) AND phase = 'cancelled' AND ended_at IS NOT NULL
"""

# Held reports of cancellations that failed are applied, in the transaction that opens the fence again.
APPLY_HELD = """
WITH held AS (
    UPDATE evaluation_cancel.held_reports SET applied_at = now()
    WHERE evaluation_id = ANY ($1) AND applied_at IS NULL RETURNING evaluation_id, status
)
SELECT evaluation_cancel.apply_report(evaluation_id, status) FROM held
"""


async def lock(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    """Locks those of the evaluations that exist and that nobody else holds."""
    return await fetch(tx, LOCK, ids)


async def existing(tx: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """Those that exist, locked or not."""
    return {row["id"] for row in await fetch(tx, EXISTING, ids)}


async def try_lock(tx: Transaction, ids: Sequence[UUID]) -> tuple[set[UUID], set[UUID]]:
    """Locks what it can: gives those that are locked now, and those that exist and that somebody else holds."""
    if not ids:
        return set(), set()
    locked = {row["id"] for row in await lock(tx, sorted(set(ids)))}
    missing = [i for i in ids if i not in locked]
    return locked, await existing(tx, missing) if missing else set()


async def fences(tx: Transaction, ids: Sequence[UUID], cancelled: Sequence[UUID]) -> list[Row]:
    """The open cancellation of each, and of the cancelled ones the cancellation that ended it."""
    return await fetch(tx, FENCES, ids, cancelled)


async def touch(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Rewrites the rows unchanged, so that writers with an older snapshot fail instead of slipping by."""
    await tx.execute(TOUCH, ids)


async def cancel(tx: Transaction, ids: Sequence[UUID], at: datetime) -> None:
    """Sets the status; the trigger lets it through only because the cancellation has just been ended."""
    await tx.execute(CANCEL, ids, at)


async def apply_held_reports(tx: Transaction, ids: Sequence[UUID]) -> None:
    """What workers reported behind a fence that has come down without a cancellation."""
    await tx.execute(APPLY_HELD, ids)
