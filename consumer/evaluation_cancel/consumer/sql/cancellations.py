"""Cancellations: opened, joined, claimed, put back, ended.

A claim is an attempt number and an end: `next_attempt_at` of a claimed row is when its lease ends, so that a row whose
holder died is simply due again. Every write of a holder compares the attempt number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import Opening
from evaluation_cancel.consumer.sql import cancellation_errors
from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

# Those that this process works on at once are opened claimed.
OPEN = """
INSERT INTO evaluation_cancel.cancellations (
    id, evaluation_id, team_id, command_source, command_id, actor_kind, actor_id, reason, status_before, cluster,
    requested_at, traceparent, correlation_id, cleanup_state, accepted_at, attempts, claimed_by, next_attempt_at)
SELECT r.id, r.evaluation_id, r.team_id, r.command_source, r.command_id, r.actor_kind, r.actor_id, r.reason,
    r.status_before, r.cluster, r.requested_at, r.traceparent, r.correlation_id, r.cleanup_state, now(),
    CASE WHEN r.claimed THEN 1 ELSE 0 END, CASE WHEN r.claimed THEN $16::text END,
    CASE WHEN r.claimed THEN now() + $17::interval ELSE now() END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::bool[])
AS r (id, evaluation_id, team_id, command_source, command_id, actor_kind, actor_id, reason, status_before, cluster,
    requested_at, traceparent, correlation_id, cleanup_state, claimed)
"""

# Joining adds a wish for cleanup, never takes one away.
JOIN = """
UPDATE evaluation_cancel.cancellations c
SET joined = c.joined + r.joined,
    cleanup_state = CASE WHEN r.cleanup AND c.cleanup_state = 'not_requested' THEN 'pending' ELSE c.cleanup_state END
FROM unnest($1::uuid[], $2::int[], $3::bool[]) AS r (id, joined, cleanup) WHERE c.id = r.id
"""

# A fair share for each team with something due: the teams by a loose scan of the index, then the oldest of each.
CLAIM = """
WITH RECURSIVE teams AS (
    (SELECT team_id FROM evaluation_cancel.cancellations
     WHERE ended_at IS NULL ORDER BY team_id LIMIT 1)
    UNION ALL
    SELECT (SELECT c.team_id FROM evaluation_cancel.cancellations c
            WHERE c.ended_at IS NULL AND c.team_id > t.team_id ORDER BY c.team_id LIMIT 1)
    FROM teams t WHERE t.team_id IS NOT NULL
), due_teams AS MATERIALIZED (
    SELECT t.team_id FROM teams t WHERE EXISTS (
        SELECT FROM evaluation_cancel.cancellations c
        WHERE c.ended_at IS NULL AND c.team_id = t.team_id AND c.next_attempt_at <= now()
        AND (c.cluster IS NULL OR c.cluster = ANY ($1)))
), due AS MATERIALIZED (
    SELECT d.id FROM due_teams t CROSS JOIN LATERAL (
        SELECT c.id FROM evaluation_cancel.cancellations c
        WHERE c.ended_at IS NULL AND c.team_id = t.team_id AND c.next_attempt_at <= now()
        AND (c.cluster IS NULL OR c.cluster = ANY ($1))
        ORDER BY c.next_attempt_at LIMIT (SELECT ceil($3::bigint / greatest(1.0, count(*))) FROM due_teams)
        FOR NO KEY UPDATE SKIP LOCKED
    ) d ORDER BY random() LIMIT $3
)
UPDATE evaluation_cancel.cancellations c
SET attempts = c.attempts + 1, claimed_by = $2, next_attempt_at = now() + $4::interval
FROM due WHERE c.id = due.id
RETURNING c.id, c.evaluation_id, c.team_id, c.attempts, c.looks, c.errors, c.phase, c.status_before, c.cluster,
    c.accepted_at, c.intent_at, c.refused_since, c.evidence, now() AS claimed_at
"""

# A holder's writes say phase where they mean ended_at IS NULL, which the table's check makes the same: that, the
# planner would take for few rows while it has no statistics, and look at all open cancellations for those of a batch.
OPEN_STILL = "c.phase IN ('accepted', 'stopping')"

JOBS = """
SELECT id, job_namespace, job_name, job_uid FROM evaluation_cancel.read_evaluations($1)
"""

INTENT = f"""
UPDATE evaluation_cancel.cancellations c SET phase = 'stopping', intent_at = coalesce(c.intent_at, now())
FROM unnest($1::uuid[], $2::int[]) AS r (id, attempt)
WHERE c.id = r.id AND c.attempts = r.attempt AND {OPEN_STILL} AND c.next_attempt_at > now()
RETURNING c.id
"""

# An error counts as one; a look does not. A definite refusal of an attempt before which nothing can have been deleted
# takes that attempt's intent back: from then on it is certain again that nothing was.
PUT_BACK = f"""
UPDATE evaluation_cancel.cancellations c
SET claimed_by = NULL, next_attempt_at = now() + r.pause,
    evidence = coalesce(r.evidence, c.evidence),
    looks = CASE WHEN r.code IS NULL THEN c.looks + 1 ELSE 0 END,
    errors = CASE WHEN r.code IS NULL THEN 0 ELSE c.errors + 1 END,
    last_error_code = coalesce(r.code, c.last_error_code),
    last_error_text = coalesce(r.text, c.last_error_text),
    last_error_at = CASE WHEN r.code IS NULL THEN c.last_error_at ELSE now() END,
    refused_since = CASE WHEN r.nothing_deleted THEN coalesce(c.refused_since, now()) END,
    intent_at = CASE WHEN r.nothing_deleted THEN NULL ELSE c.intent_at END,
    phase = CASE WHEN r.nothing_deleted THEN 'accepted' ELSE c.phase END
FROM unnest($1::uuid[], $2::int[], $3::interval[], $4::jsonb[], $5::text[], $6::text[], $7::bool[])
AS r (id, attempt, pause, evidence, code, text, nothing_deleted)
WHERE c.id = r.id AND c.attempts = r.attempt AND {OPEN_STILL}
"""

ENDED_COLUMNS = """
    c.id, c.evaluation_id, c.team_id, c.command_source, c.command_id, c.actor_kind, c.actor_id, c.reason,
    c.status_before, c.requested_at, c.accepted_at, c.ended_at, c.traceparent, c.correlation_id, c.phase,
    c.cleanup_state, c.joined, c.last_error_code, c.last_error_text
"""

END = f"""
UPDATE evaluation_cancel.cancellations c
SET phase = r.phase, ended_at = now(), claimed_by = NULL, evidence = r.evidence,
    last_error_code = coalesce(r.code, c.last_error_code), last_error_text = coalesce(r.text, c.last_error_text),
    cleanup_next_at = CASE WHEN r.phase = 'cancelled' AND c.cleanup_state = 'pending' THEN now() END,
    cleanup_deadline_at = CASE WHEN r.phase = 'cancelled' AND c.cleanup_state = 'pending' THEN now() + $7::interval END
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::jsonb[], $5::text[], $6::text[])
AS r (id, attempt, phase, evidence, code, text)
WHERE c.id = r.id AND c.attempts = r.attempt AND {OPEN_STILL}
RETURNING {ENDED_COLUMNS}
"""

# The commands that share an outcome: the first hundred by position, and how many they are.
COMMANDS = """
SELECT x.id, array(
    SELECT c.id FROM evaluation_cancel.commands c
    WHERE c.evaluation_id = x.evaluation_id AND c.cancellation_id = x.id AND c.decision IN ('accepted', 'joined')
    ORDER BY c.decision, c.decided_at LIMIT 100) AS ids
FROM unnest($1::uuid[], $2::uuid[]) AS x (id, evaluation_id)
"""

# Only rows that wait: one that is being worked on is looked at anyway. Never waits for a lock.
WAKE = """
UPDATE evaluation_cancel.cancellations c SET next_attempt_at = now()
WHERE c.id IN (
    SELECT w.id FROM evaluation_cancel.cancellations w
    WHERE w.evaluation_id = ANY ($1) AND w.ended_at IS NULL AND w.claimed_by IS NULL
    AND w.next_attempt_at > now() FOR NO KEY UPDATE SKIP LOCKED)
"""

RELEASE = """
UPDATE evaluation_cancel.cancellations SET claimed_by = NULL, next_attempt_at = now()
WHERE claimed_by = $1 AND ended_at IS NULL
"""

TAKE_OVER = """
UPDATE evaluation_cancel.cancellations SET attempts = attempts + 1
WHERE id = $1 AND ended_at IS NULL RETURNING attempts, evaluation_id, evidence
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PutBack:
    """A claimed row that goes back to waiting; `code` is None after a look, an error's otherwise."""

    id: UUID
    attempt: int
    pause: timedelta
    evidence: str | None
    code: str | None = None
    text: str | None = None
    nothing_deleted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """A cancellation to be ended, as `cancelled` or `failed`, if the attempt number is still the newest."""

    id: UUID
    attempt: int
    phase: str
    evidence: str
    code: str | None = None
    text: str | None = None


async def open_new(
    tx: Transaction, rows: Sequence[Opening], claimed: Sequence[bool], worker: str, lease: timedelta
) -> None:
    """Opens them; the claimed ones are held by the worker from the start, in their first attempt."""
    await tx.execute(
        OPEN,
        [r.id for r in rows],
        [r.evaluation_id for r in rows],
        [r.team_id for r in rows],
        [r.command_source for r in rows],
        [r.command_id for r in rows],
        [r.actor_kind for r in rows],
        [r.actor_id for r in rows],
        [r.reason for r in rows],
        [r.status_before for r in rows],
        [r.cluster for r in rows],
        [r.requested_at for r in rows],
        [r.traceparent for r in rows],
        [r.correlation_id for r in rows],
        ["pending" if r.cleanup else "not_requested" for r in rows],
        claimed,
        worker,
        lease,
    )


async def join(tx: Transaction, joined: dict[UUID, tuple[int, bool]]) -> None:
    """Adds commands to open cancellations: how many joined each, and whether one of them wants cleanup."""
    ids = sorted(joined)
    await tx.execute(JOIN, ids, [joined[i][0] for i in ids], [joined[i][1] for i in ids])


async def claim(tx: Transaction, clusters: Sequence[str], worker: str, limit: int, lease: timedelta) -> list[Row]:
    return await fetch(tx, CLAIM, clusters, worker, limit, lease)


async def jobs(tx: Transaction, evaluation_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Where the Job of each evaluation is, as the orchestrator recorded it."""
    return {row["id"]: row for row in await fetch(tx, JOBS, evaluation_ids)}


async def record_intents(tx: Transaction, held: Sequence[tuple[UUID, int]]) -> set[UUID]:
    """Writes down that a DELETE may be sent from now on; gives those that are still held."""
    return {row["id"] for row in await fetch(tx, INTENT, [h[0] for h in held], [h[1] for h in held])}


async def put_back(tx: Transaction, rows: Sequence[PutBack]) -> None:
    await tx.execute(
        PUT_BACK,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.pause for r in rows],
        [r.evidence for r in rows],
        [r.code for r in rows],
        [r.text for r in rows],
        [r.nothing_deleted for r in rows],
    )
    failed = [r for r in rows if r.code is not None]
    if failed:
        await cancellation_errors.remember(tx, failed)


async def end(tx: Transaction, rows: Sequence[Ending], cleanup_deadline: timedelta) -> list[Row]:
    """Ends them; gives those that were still this attempt's to end. Their evaluations must be locked."""
    return await fetch(
        tx,
        END,
        [r.id for r in rows],
        [r.attempt for r in rows],
        [r.phase for r in rows],
        [r.evidence for r in rows],
        [r.code for r in rows],
        [r.text for r in rows],
        cleanup_deadline,
    )


async def commands_of(tx: Transaction, ended: Sequence[Row]) -> dict[UUID, list[str]]:
    """The ids of the commands that share each outcome, at most a hundred each."""
    rows = await fetch(tx, COMMANDS, [e["id"] for e in ended], [e["evaluation_id"] for e in ended])
    return {row["id"]: row["ids"] for row in rows}


async def wake(tx: Transaction, evaluation_ids: Sequence[UUID]) -> int:
    status = await tx.execute(WAKE, evaluation_ids)
    return int(status.rpartition(" ")[2])


async def release(tx: Transaction, worker: str) -> None:
    """Gives back what a worker that stops still holds."""
    await tx.execute(RELEASE, worker)


async def take_over(tx: Transaction, cancellation_id: UUID) -> Row | None:
    """Makes every holder's attempt stale; None when it is not open."""
    return cast("Row | None", await tx.fetchrow(TAKE_OVER, cancellation_id))
