"""Cancellations: opened, joined, claimed, put back, ended.

A claim is an attempt number and a time: `next_attempt_at` of a claimed row is the end of its lease, so the row of a
holder that died is due again without further action. Every write of a holder compares the attempt number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation
from evaluation_cancel.consumer.domain.evaluations import JobLocation
from evaluation_cancel.consumer.domain.rows import (
    ClaimedRow,
    EndedCancellation,
    Ending,
    JoinedCommands,
    Opening,
    PutBack,
    TakenOver,
)
from evaluation_cancel.consumer.sql import cancellation_errors
from evaluation_cancel.consumer.sql.database import Transaction, fetch, fetch_as, row_count

# Rows for which this process has reserved a slot are opened as claimed.
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

# A command that joins can add the request for a cleanup, never remove it.
JOIN = """
UPDATE evaluation_cancel.cancellations c
SET joined = c.joined + r.joined,
    cleanup_state = CASE WHEN r.cleanup AND c.cleanup_state = 'not_requested' THEN 'pending' ELSE c.cleanup_state END
FROM unnest($1::uuid[], $2::int[], $3::bool[]) AS r (id, joined, cleanup) WHERE c.id = r.id
"""

# A fair share for each team with due rows: a loose index scan finds the teams, then the oldest rows of each.
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
RETURNING c.id, c.evaluation_id, c.team_id, c.attempts AS attempt, c.looks AS polls, c.errors, c.phase,
    c.status_before, c.cluster, c.accepted_at, c.intent_at, c.refused_since, c.evidence, now() AS claimed_at
"""

# Filter on `phase` (equivalent by the CHECK): without statistics the planner takes `ended_at IS NULL` for few rows and
# scans all open ones.
OPEN_STILL = "c.phase IN ('accepted', 'stopping')"

JOBS = """
SELECT id AS evaluation_id, job_namespace, job_name, job_uid FROM evaluation_cancel.read_evaluations($1)
"""

INTENT = f"""
UPDATE evaluation_cancel.cancellations c SET phase = 'stopping', intent_at = coalesce(c.intent_at, now())
FROM unnest($1::uuid[], $2::int[]) AS r (id, attempt)
WHERE c.id = r.id AND c.attempts = r.attempt AND {OPEN_STILL} AND c.next_attempt_at > now()
RETURNING c.id
"""

# An error increases `errors`, a poll resets it. `nothing_deleted` takes the attempt's intent back: after a definite
# refusal, and with no earlier intent, it is certain again that nothing was deleted.
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
    c.cleanup_state <> 'not_requested' AS cleanup, c.joined, c.last_error_code AS error_code,
    c.last_error_text AS error_text
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

# The commands that share an outcome: the one that opened the cancellation, then those that joined, at most 100.
COMMANDS = """
SELECT x.id, array(
    SELECT c.id FROM evaluation_cancel.commands c
    WHERE c.evaluation_id = x.evaluation_id AND c.cancellation_id = x.id AND c.decision IN ('accepted', 'joined')
    ORDER BY c.decision, c.decided_at LIMIT 100) AS ids
FROM unnest($1::uuid[], $2::uuid[]) AS x (id, evaluation_id)
"""

# Only waiting rows: the holder of a claimed row polls its Job anyway. Never waits for a lock.
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
WHERE id = $1 AND ended_at IS NULL RETURNING attempts AS attempt, evidence
"""


async def open_new(
    tx: Transaction, rows: Sequence[Opening], claimed: Sequence[bool], worker: str, lease: timedelta
) -> None:
    """Inserts cancellations. Where `claimed` is true, `worker` holds the row from the start, in its first attempt.

    Needs a transaction that has locked the evaluations.
    """
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


async def join(tx: Transaction, joined: dict[UUID, JoinedCommands]) -> None:
    """Adds commands to open cancellations, by the cancellation's id. Locks the rows in the order of their ids."""
    ids = sorted(joined)
    await tx.execute(JOIN, ids, [joined[i].commands for i in ids], [joined[i].cleanup for i in ids])


async def claim(
    tx: Transaction, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
) -> list[ClaimedRow]:
    """Claims due rows of these clusters and those without a cluster. Skips rows that another transaction has locked."""
    return await fetch_as(ClaimedRow, tx, CLAIM, clusters, worker, limit, lease)


async def jobs(tx: Transaction, evaluation_ids: Sequence[UUID]) -> dict[UUID, JobLocation]:
    """Where the Job of each evaluation is; without those that do not exist. Locks nothing."""
    return {job.evaluation_id: job for job in await fetch_as(JobLocation, tx, JOBS, evaluation_ids)}


async def record_intents(tx: Transaction, claims: Sequence[ClaimedCancellation]) -> set[UUID]:
    """Records that a DELETE may follow. Returns the ids of those whose claim still holds; only they may be deleted."""
    return {row["id"] for row in await fetch(tx, INTENT, [c.id for c in claims], [c.attempt for c in claims])}


async def put_back(tx: Transaction, rows: Sequence[PutBack]) -> None:
    """Ends claims whose cancellation goes on later, and keeps their errors. Ignores those of an older attempt.

    Needs a transaction; pass the rows in the order of their ids, in which they are locked.
    """
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


async def end(tx: Transaction, rows: Sequence[Ending], cleanup_deadline: timedelta) -> list[EndedCancellation]:
    """Ends cancellations. Returns those that it ended: without those of an older attempt.

    Needs a transaction that has locked the evaluations; pass the rows in the order of their ids.
    """
    return await fetch_as(
        EndedCancellation,
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


async def commands_of(tx: Transaction, ended: Sequence[EndedCancellation]) -> dict[UUID, list[str]]:
    """The ids of the commands that share the outcome of each cancellation, at most a hundred each."""
    rows = await fetch(tx, COMMANDS, [e.id for e in ended], [e.evaluation_id for e in ended])
    return {row["id"]: row["ids"] for row in rows}


async def wake(tx: Transaction, evaluation_ids: Sequence[UUID]) -> int:
    """Makes waiting cancellations due now. Returns how many; skips rows that another transaction has locked."""
    return row_count(await tx.execute(WAKE, evaluation_ids))


async def release(tx: Transaction, worker: str) -> None:
    """Releases all claims of a worker that stops."""
    await tx.execute(RELEASE, worker)


async def take_over(tx: Transaction, cancellation_id: UUID) -> TakenOver | None:
    """Starts a new attempt, so that writes of a holder are ignored; None when the cancellation is not open."""
    return next(iter(await fetch_as(TakenOver, tx, TAKE_OVER, cancellation_id)), None)
