"""Reads for audit: all rows of some evaluations, and the ids of all evaluations that have rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from evaluation_cancel.consumer.domain.audit_rows import (
    CancellationRow,
    CommandRow,
    ErrorRow,
    EvaluationRow,
    HeldReportRow,
    MessageRow,
    StoredEvaluation,
)
from evaluation_cancel.consumer.sql.database import Transaction, fetch, fetch_as

_Of = TypeVar("_Of", CommandRow, CancellationRow, MessageRow)

EVALUATIONS = "SELECT * FROM evaluation_cancel.read_evaluations($1)"

COMMANDS = """
SELECT source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, topic, partition, "offset", raw_sha256, received_at, decision, code, decided_at,
    decision_version, team_seen, status_seen, ended_seen, fence_seen, cancellation_id
FROM evaluation_cancel.commands WHERE evaluation_id = ANY ($1) ORDER BY received_at, topic, partition, "offset"
"""

_CANCELLATION = """
SELECT id, evaluation_id, team_id, command_source, command_id, actor_kind, actor_id, reason, status_before, phase,
    cluster, requested_at, accepted_at, ended_at, intent_at, attempts, joined, next_attempt_at, last_error_code,
    last_error_text, evidence, cleanup_state, cleanup_error_code, cleanup_error_text, cleanup_report
FROM evaluation_cancel.cancellations WHERE evaluation_id = ANY ($1)
"""

# In two halves, because each of them has an index of its own.
CANCELLATIONS = f"""
{_CANCELLATION} AND ended_at IS NULL UNION ALL {_CANCELLATION} AND ended_at IS NOT NULL ORDER BY accepted_at
"""

ERRORS = """
SELECT cancellation_id, number, attempt, code, detail, at, times
FROM evaluation_cancel.cancellation_errors WHERE cancellation_id = ANY ($1) ORDER BY cancellation_id, number
"""

MESSAGES = """
SELECT m.id AS sequence, m.event_id, m.type, m.evaluation_id, m.value, m.headers, m.created_at,
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


async def stored_evaluations(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, StoredEvaluation]:
    """The rows of each of these evaluations, without errors and held reports.

    Messages are events, published or waiting; dead letters belong to no evaluation.
    """
    evaluations = {row.id: row for row in await fetch_as(EvaluationRow, tx, EVALUATIONS, ids)}
    commands = _by_evaluation(await fetch_as(CommandRow, tx, COMMANDS, ids))
    cancellations = _by_evaluation(await fetch_as(CancellationRow, tx, CANCELLATIONS, ids))
    messages = _by_evaluation(await fetch_as(MessageRow, tx, MESSAGES, ids))
    return {
        i: StoredEvaluation(
            evaluation=evaluations.get(i),
            commands=commands.get(i, ()),
            cancellations=cancellations.get(i, ()),
            messages=messages.get(i, ()),
        )
        for i in ids
    }


async def stored_evaluation(tx: Transaction, evaluation_id: UUID) -> StoredEvaluation:
    """All rows of one evaluation. Of many errors only the first ones and the latest are kept."""
    stored = (await stored_evaluations(tx, [evaluation_id]))[evaluation_id]
    return replace(
        stored,
        errors=await fetch_as(ErrorRow, tx, ERRORS, [row.id for row in stored.cancellations]),
        held_reports=await fetch_as(HeldReportRow, tx, HELD_REPORTS, [evaluation_id]),
    )


async def known_evaluations(tx: Transaction, page: int = 5000) -> AsyncIterator[list[UUID]]:
    """The ids of all evaluations with a command, a cancellation or a message, page by page in their order."""
    after = _FIRST
    while found := [row["evaluation_id"] for row in await fetch(tx, KNOWN_EVALUATIONS, after, page)]:
        yield found
        after = found[-1]


def _by_evaluation(rows: Sequence[_Of]) -> dict[UUID, list[_Of]]:
    groups: dict[UUID, list[_Of]] = {}
    for row in rows:
        groups.setdefault(row.evaluation_id, []).append(row)
    return groups
