"""What audit asks of Postgres: everything of some evaluations, and which evaluations there are. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

EVALUATIONS = "SELECT * FROM evaluation_cancel.read_evaluations($1)"

COMMANDS = """
SELECT source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, topic, partition, "offset", raw_sha256, received_at, decision, code, decided_at,
    decision_version, team_seen, status_seen, ended_seen, fence_seen, cancellation_id
FROM evaluation_cancel.commands WHERE evaluation_id = ANY ($1) ORDER BY received_at, topic, partition, "offset"
"""

# In two halves, because each of them has an index of its own.
CANCELLATIONS = """
SELECT * FROM evaluation_cancel.cancellations WHERE evaluation_id = ANY ($1) AND ended_at IS NULL
UNION ALL
SELECT * FROM evaluation_cancel.cancellations WHERE evaluation_id = ANY ($1) AND ended_at IS NOT NULL
ORDER BY accepted_at
"""

ERRORS = """
SELECT cancellation_id, number, attempt, code, detail, at, times
FROM evaluation_cancel.cancellation_errors WHERE cancellation_id = ANY ($1) ORDER BY cancellation_id, number
"""

MESSAGES = """
SELECT m.id AS sequence, m.event_id, m.type, m.evaluation_id, m.topic, m.value, m.headers, m.created_at,
    EXISTS (SELECT FROM evaluation_cancel.outbox o WHERE o.message_id = m.id) AS waiting,
    (SELECT o.error_code FROM evaluation_cancel.outbox o WHERE o.message_id = m.id AND o.parked_at IS NOT NULL LIMIT 1)
    AS parked_for
FROM evaluation_cancel.messages m WHERE m.evaluation_id = ANY ($1) ORDER BY m.id
"""

HELD_REPORTS = "SELECT * FROM evaluation_cancel.held_reports WHERE evaluation_id = ANY ($1)"

# Page by page over the ids of three tables, each in its own order.
KNOWN_EVALUATIONS = """
SELECT evaluation_id FROM (
    (SELECT DISTINCT evaluation_id FROM evaluation_cancel.commands WHERE evaluation_id > $1
     ORDER BY evaluation_id LIMIT $2)
    UNION
    (SELECT DISTINCT evaluation_id FROM evaluation_cancel.cancellations
     WHERE evaluation_id > $1 AND ended_at IS NULL ORDER BY evaluation_id LIMIT $2)
    UNION
    (SELECT DISTINCT evaluation_id FROM evaluation_cancel.cancellations
     WHERE evaluation_id > $1 AND ended_at IS NOT NULL ORDER BY evaluation_id LIMIT $2)
    UNION
    (SELECT DISTINCT evaluation_id FROM evaluation_cancel.messages WHERE evaluation_id > $1
     ORDER BY evaluation_id LIMIT $2)
) known ORDER BY evaluation_id LIMIT $2
"""

_FIRST = UUID(int=0)


async def evaluations(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    return await fetch(tx, EVALUATIONS, ids)


async def commands(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    return await fetch(tx, COMMANDS, ids)


async def cancellations(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    return await fetch(tx, CANCELLATIONS, ids)


async def errors(tx: Transaction, cancellation_ids: Sequence[UUID]) -> list[Row]:
    """The errors of these cancellations' attempts: the first ones, and the latest."""
    return await fetch(tx, ERRORS, cancellation_ids)


async def messages(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    """Events, published or waiting; without dead letters, which belong to no evaluation."""
    return await fetch(tx, MESSAGES, ids)


async def held_reports(tx: Transaction, ids: Sequence[UUID]) -> list[Row]:
    return await fetch(tx, HELD_REPORTS, ids)


async def known_evaluations(tx: Transaction, page: int = 5000) -> AsyncIterator[list[UUID]]:
    """Every evaluation of which there is a command, a cancellation or a message, page by page."""
    after = _FIRST
    while True:
        found = [row["evaluation_id"] for row in await fetch(tx, KNOWN_EVALUATIONS, after, page)]
        if not found:
            return
        yield found
        after = found[-1]
