"""Read-only queries for operators and metrics: all about one evaluation, stuck cancellations, numbers of waiting rows.

The functions for the command line return rows as mappings, because it only prints their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.rows import Gauges
from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch, fetch_as

EVALUATION = "SELECT * FROM evaluation_cancel.read_evaluations(ARRAY[$1::uuid])"

CANCELLATIONS = """
SELECT * FROM evaluation_cancel.cancellations WHERE evaluation_id = $1 AND ended_at IS NULL
UNION ALL
SELECT * FROM evaluation_cancel.cancellations WHERE evaluation_id = $1 AND ended_at IS NOT NULL
ORDER BY accepted_at
"""

COMMANDS = """
SELECT source, id, actor_kind, actor_id, reason, cleanup_artifacts, requested_at, received_at, decided_at, decision,
    code, status_seen, fence_seen, cancellation_id, topic, partition, "offset"
FROM evaluation_cancel.commands WHERE evaluation_id = $1 ORDER BY received_at, topic, partition, "offset" LIMIT $2
"""

MESSAGES = """
SELECT m.id AS sequence, m.event_id, m.type, m.topic, m.created_at, m.value,
    EXISTS (SELECT FROM evaluation_cancel.outbox o WHERE o.message_id = m.id) AS waiting,
    (SELECT o.error_code FROM evaluation_cancel.outbox o WHERE o.message_id = m.id AND o.parked_at IS NOT NULL LIMIT 1)
    AS parked_for
FROM evaluation_cancel.messages m WHERE m.evaluation_id = $1 ORDER BY m.id LIMIT $2
"""

HELD_REPORT = "SELECT * FROM evaluation_cancel.held_reports WHERE evaluation_id = $1"

STUCK = """
SELECT c.id, c.evaluation_id, c.team_id, c.reason, c.phase, c.cluster, c.accepted_at, c.intent_at, c.attempts, c.errors,
    c.next_attempt_at, c.claimed_by, c.evidence, c.last_error_code, c.last_error_text, c.last_error_at
FROM evaluation_cancel.cancellations c
WHERE c.ended_at IS NULL AND c.accepted_at <= now() - $1::interval
ORDER BY c.accepted_at LIMIT $2
"""

_UNCLAIMED = "ended_at IS NULL AND next_attempt_at < now() - interval '5 minutes'"
"""Due for minutes: a consumer that works on the cluster would have claimed the row."""

UNCLAIMED = f"""
SELECT cluster, count(*) AS count FROM evaluation_cancel.cancellations WHERE {_UNCLAIMED}
GROUP BY cluster ORDER BY count(*) DESC LIMIT 20
"""

GAUGES = f"""
SELECT
    (SELECT count(*) FROM evaluation_cancel.cancellations WHERE ended_at IS NULL) AS open,
    (SELECT coalesce(extract(epoch FROM now() - min(accepted_at)), 0)::float FROM evaluation_cancel.cancellations
     WHERE ended_at IS NULL) AS oldest_open_seconds,
    (SELECT count(*) FROM evaluation_cancel.cancellations WHERE {_UNCLAIMED}) AS unclaimed,
    (SELECT count(*) FROM evaluation_cancel.cancellations
     WHERE cleanup_state = 'pending' AND phase = 'cancelled' AND ended_at IS NOT NULL) AS cleanups,
    (SELECT count(*) FROM evaluation_cancel.commands WHERE decision IS NULL) AS undecided,
    (SELECT count(*) FROM (SELECT FROM evaluation_cancel.outbox WHERE parked_at IS NULL LIMIT 100000) o) AS outbox,
    (SELECT count(*) FROM evaluation_cancel.outbox WHERE parked_at IS NOT NULL) AS parked
"""


async def evaluation(tx: Transaction, evaluation_id: UUID) -> Row | None:
    """All columns of the evaluation, for printing; None when it does not exist."""
    rows = await fetch(tx, EVALUATION, evaluation_id)
    return rows[0] if rows else None


async def cancellations(tx: Transaction, evaluation_id: UUID) -> Sequence[Row]:
    """All columns of its cancellations, oldest first, for printing."""
    return await fetch(tx, CANCELLATIONS, evaluation_id)


async def commands(tx: Transaction, evaluation_id: UUID, limit: int = 1000) -> Sequence[Row]:
    """Its commands in the order of their arrival, for printing."""
    return await fetch(tx, COMMANDS, evaluation_id, limit)


async def messages(tx: Transaction, evaluation_id: UUID, limit: int = 1000) -> Sequence[Row]:
    """Its events in the order of their sequence, for printing. Dead letters belong to no evaluation."""
    return await fetch(tx, MESSAGES, evaluation_id, limit)


async def held_report(tx: Transaction, evaluation_id: UUID) -> Row | None:
    """The status that a worker reported while a cancellation was open, for printing; None when there is none."""
    rows = await fetch(tx, HELD_REPORT, evaluation_id)
    return rows[0] if rows else None


async def is_writable(tx: Transaction) -> bool:
    """Whether the server takes writes, which a standby and a demoted primary do not."""
    return bool(await tx.fetchval("SELECT pg_catalog.current_setting('transaction_read_only') = 'off'"))


async def stuck(tx: Transaction, older_than_seconds: float, limit: int) -> Sequence[Row]:
    """Open cancellations older than that, oldest first, for printing."""
    return await fetch(tx, STUCK, timedelta(seconds=older_than_seconds), limit)


async def unclaimed(tx: Transaction) -> dict[str | None, int]:
    """For each cluster (None: not named), how many open cancellations no consumer has claimed for minutes."""
    return {row["cluster"]: row["count"] for row in await fetch(tx, UNCLAIMED)}


async def gauges(tx: Transaction) -> Gauges:
    """How many rows wait in each place."""
    return (await fetch_as(Gauges, tx, GAUGES))[0]
