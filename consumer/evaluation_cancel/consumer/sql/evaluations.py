"""Evaluations, reached only through SQL functions, so that another team's table can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from evaluation_cancel.consumer.domain.evaluations import Fence, LockedEvaluation
from evaluation_cancel.consumer.sql.database import Transaction, fetch, fetch_as

LOCK = """
SELECT id, team_id, status, word, cluster, ended_at, job_namespace, job_name, job_uid
FROM evaluation_cancel.lock_evaluations($1)
"""
EXISTING = "SELECT id FROM evaluation_cancel.read_evaluations($1)"
TOUCH = "SELECT evaluation_cancel.touch_evaluations($1)"
CANCEL = "SELECT evaluation_cancel.cancel_evaluations($1, $2)"

# The open cancellation of evaluations that are not over, and the one that ended those that are cancelled.
FENCES = """
SELECT evaluation_id, id AS cancellation_id, true AS open FROM evaluation_cancel.cancellations
WHERE evaluation_id = ANY ($1) AND ended_at IS NULL
UNION ALL
SELECT evaluation_id, id, false FROM evaluation_cancel.cancellations
WHERE evaluation_id = ANY ($2) AND phase = 'cancelled' AND ended_at IS NOT NULL
"""

# Held reports of a failed cancellation are applied in the transaction that removes the fence.
APPLY_HELD = """
WITH held AS (
    UPDATE evaluation_cancel.held_reports SET applied_at = now()
    WHERE evaluation_id = ANY ($1) AND applied_at IS NULL RETURNING evaluation_id, status
)
SELECT evaluation_cancel.apply_report(evaluation_id, status) FROM held
"""


class TriedLocks(NamedTuple):
    """Ids of evaluations after an attempt to lock them; evaluations that do not exist are in neither set."""

    locked: set[UUID]
    held_elsewhere: set[UUID]
    """Another session has locked the row."""


async def lock(tx: Transaction, ids: Sequence[UUID]) -> list[LockedEvaluation]:
    """Locks the rows until the end of the transaction, in the order of `ids`: sort them.

    Skips those that do not exist and those that another session has locked.
    """
    return await fetch_as(LockedEvaluation, tx, LOCK, ids)


async def existing(tx: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """The ids of those that exist, locked or not."""
    return {row["id"] for row in await fetch(tx, EXISTING, ids)}


async def try_lock(tx: Transaction, ids: Sequence[UUID]) -> TriedLocks:
    """Locks the evaluations that no other session holds. Needs a transaction."""
    if not ids:
        return TriedLocks(set(), set())
    locked = {row.id for row in await lock(tx, sorted(set(ids)))}
    missing = [i for i in ids if i not in locked]
    return TriedLocks(locked, await existing(tx, missing) if missing else set())


async def fences(tx: Transaction, ids: Sequence[UUID], cancelled: Sequence[UUID]) -> list[Fence]:
    """The open cancellation of each of `ids`, and the cancellation that ended each of `cancelled`.

    Read after `lock`, in the same transaction: an earlier read may be stale.
    """
    return await fetch_as(Fence, tx, FENCES, ids, cancelled)


async def touch(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Rewrites the rows unchanged, so that a writer with an older snapshot fails instead of missing the fence."""
    await tx.execute(TOUCH, ids)


async def cancel(tx: Transaction, ids: Sequence[UUID], at: datetime) -> None:
    """Sets the status `cancelled`. The trigger permits it only in the transaction that ended the cancellation."""
    await tx.execute(CANCEL, ids, at)


async def apply_held_reports(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Applies the statuses that workers reported while the fence was up. Needs the transaction that removed it."""
    await tx.execute(APPLY_HELD, ids)
