"""The statements of `one_by_one.py`: a row each, on the same tables and through the same trigger as the real ones."""

from __future__ import annotations

from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.commands import ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION, EvaluationSeen

LOCK = "SELECT team_id, status, cluster FROM evaluation_cancel.evaluations WHERE id = $1 FOR NO KEY UPDATE"
FENCE = """
SELECT id FROM evaluation_cancel.cancellations WHERE evaluation_id = $1 AND ended_at IS NULL
"""
KNOWN = "SELECT meaning FROM evaluation_cancel.commands WHERE source = $1 AND id = $2"
INSERT_COMMAND = """
INSERT INTO evaluation_cancel.commands (
    source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256, received_at,
    decision, decided_at, decision_version, team_seen, status_seen, cancellation_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, now(),
    'accepted', now(), $18, $19, $20, $21)
"""
OPEN = """
INSERT INTO evaluation_cancel.cancellations (
    id, evaluation_id, team_id, command_source, command_id, actor_kind, actor_id, reason, status_before, cluster,
    requested_at, traceparent, correlation_id, phase, intent_at, accepted_at, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'stopping', now(), now(), now() + interval '1 minute')
"""
TOUCH = "UPDATE evaluation_cancel.evaluations SET status = status WHERE id = $1"
SAVE_OFFSET = """
INSERT INTO evaluation_cancel.offsets (topic, partition, next_offset, updated_at) VALUES ($1, $2, $3, now())
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, updated_at = excluded.updated_at
"""
ADD = """
WITH added AS (
    INSERT INTO evaluation_cancel.messages (event_id, type, evaluation_id, topic, key, value, headers)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, key
)
INSERT INTO evaluation_cancel.outbox (message_id, key) SELECT id, key FROM added RETURNING message_id, id
"""
END = """
UPDATE evaluation_cancel.cancellations SET phase = 'cancelled', ended_at = now()
WHERE id = $1 AND phase = 'stopping' RETURNING *
"""
CANCEL = "UPDATE evaluation_cancel.evaluations SET status = 'cancelled', ended_at = $2 WHERE id = $1"
PUBLISHED = "DELETE FROM evaluation_cancel.outbox WHERE id = ANY ($1)"


def command_row(command: ReceivedCommand, seen: EvaluationSeen, cancellation: UUID) -> tuple[object, ...]:
    """The parameters of INSERT_COMMAND."""
    return (
        command.source,
        command.id,
        command.evaluation_id,
        command.fingerprint,
        command.actor_kind,
        command.actor_id,
        orjson.dumps(command.team_ids).decode(),
        command.every_team,
        command.reason,
        command.cleanup_artifacts,
        command.requested_at,
        command.traceparent,
        command.correlation_id,
        command.topic,
        command.partition,
        command.offset,
        command.raw_sha256,
        DECISION_VERSION,
        seen.team_id,
        seen.status,
        cancellation,
    )


def cancellation_row(command: ReceivedCommand, seen: EvaluationSeen, cancellation: UUID) -> tuple[object, ...]:
    """The parameters of OPEN."""
    return (
        cancellation,
        command.evaluation_id,
        seen.team_id,
        command.source,
        command.id,
        command.actor_kind,
        command.actor_id,
        command.reason,
        seen.status,
        seen.cluster,
        command.requested_at,
        command.traceparent,
        command.correlation_id,
    )
