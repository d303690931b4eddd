"""The inbox: commands with the decision on each, and the next offset to read of each partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.commands import CommandKey, InboxRow, KnownCommand, Position, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION
from evaluation_cancel.consumer.sql.database import Transaction, fetch, fetch_as, row_count

NOW = "SELECT now()"

# Commands with these keys, each with the command that opened its cancellation: itself if it was rejected or undecided.
KNOWN = """
SELECT c.source, c.id, c.meaning AS fingerprint, c.topic, c.partition, c."offset",
       coalesce(x.command_source, c.source) AS opening_source, coalesce(x.command_id, c.id) AS opening_id
FROM unnest($1::text[], $2::text[]) AS k (source, id)
JOIN evaluation_cancel.commands c ON c.source = k.source AND c.id = k.id
LEFT JOIN evaluation_cancel.cancellations x ON x.id = c.cancellation_id AND c.decision <> 'rejected'
"""

INSERT = """
INSERT INTO evaluation_cancel.commands (
    source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256, received_at,
    decision, code, decided_at, decision_version, team_seen, status_seen, ended_seen, fence_seen, cancellation_id)
SELECT source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256, now(),
    decision, code, CASE WHEN decision IS NOT NULL THEN now() END,
    CASE WHEN decision IS NOT NULL THEN $26::int END,
    team_seen, status_seen, ended_seen, fence_seen, cancellation_id
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::jsonb[], $8::bool[],
    $9::text[], $10::bool[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[], $15::text[],
    $16::int[], $17::bigint[], $18::bytea[], $19::text[], $20::text[], $21::text[], $22::text[], $23::timestamptz[],
    $24::uuid[], $25::uuid[])
AS r (source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256,
    decision, code, team_seen, status_seen, ended_seen, fence_seen, cancellation_id)
ON CONFLICT DO NOTHING
"""

UNDECIDED = """
SELECT source, id, evaluation_id, meaning AS fingerprint, actor_kind, actor_id, team_ids, every_team, reason,
    cleanup_artifacts, requested_at, expires_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256
FROM evaluation_cancel.commands WHERE decision IS NULL AND evaluation_id <> ALL ($2)
ORDER BY topic, partition, "offset" LIMIT $1
"""

# Locks in the order of the primary key; without commands that another consumer has decided in the meantime.
STILL_UNDECIDED = """
SELECT c.source, c.id FROM unnest($1::text[], $2::text[]) AS k (source, id)
JOIN evaluation_cancel.commands c ON c.source = k.source AND c.id = k.id
WHERE c.decision IS NULL ORDER BY c.source, c.id FOR NO KEY UPDATE OF c SKIP LOCKED
"""

SAVE_DECISIONS = """
UPDATE evaluation_cancel.commands c
SET decision = r.decision, code = r.code, decided_at = now(), decision_version = $10, team_seen = r.team_seen,
    status_seen = r.status_seen, ended_seen = r.ended_seen, fence_seen = r.fence_seen,
    cancellation_id = r.cancellation_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::uuid[],
    $9::uuid[])
AS r (source, id, decision, code, team_seen, status_seen, ended_seen, fence_seen, cancellation_id)
WHERE c.source = r.source AND c.id = r.id
"""

SAVE_OFFSETS = """
INSERT INTO evaluation_cancel.offsets AS o (topic, partition, next_offset, updated_at)
SELECT topic, partition, next_offset, now()
FROM unnest($1::text[], $2::int[], $3::bigint[]) AS r (topic, partition, next_offset)
ORDER BY topic, partition
ON CONFLICT (topic, partition) DO UPDATE
SET next_offset = greatest(o.next_offset, excluded.next_offset), updated_at = excluded.updated_at
"""

OFFSETS = "SELECT topic, partition, next_offset FROM evaluation_cancel.offsets WHERE topic = $1"


async def database_time(tx: Transaction) -> datetime:
    """The database's time at the start of the transaction."""
    moment: datetime = await tx.fetchval(NOW)
    return moment


async def known(tx: Transaction, keys: Sequence[CommandKey]) -> dict[CommandKey, KnownCommand]:
    """The commands with these keys that are in the inbox already. Locks nothing."""
    rows = await fetch_as(KnownCommand, tx, KNOWN, [k.source for k in keys], [k.id for k in keys])
    return {CommandKey(row.source, row.id): row for row in rows}


async def insert(tx: Transaction, rows: Sequence[InboxRow]) -> bool:
    """Inserts all rows, in the order of their keys. False when another consumer has inserted one: roll back then."""
    rows = sorted(rows, key=lambda r: r.command.key)
    commands = [r.command for r in rows]
    status = await tx.execute(
        INSERT,
        [c.source for c in commands],
        [c.id for c in commands],
        [c.evaluation_id for c in commands],
        [c.fingerprint for c in commands],
        [c.actor_kind for c in commands],
        [c.actor_id for c in commands],
        [orjson.dumps(c.team_ids).decode() for c in commands],
        [c.every_team for c in commands],
        [c.reason for c in commands],
        [c.cleanup_artifacts for c in commands],
        [c.requested_at for c in commands],
        [c.expires_at for c in commands],
        [c.traceparent for c in commands],
        [c.correlation_id for c in commands],
        [c.topic for c in commands],
        [c.partition for c in commands],
        [c.offset for c in commands],
        [c.raw_sha256 for c in commands],
        *_decided_columns(rows),
        DECISION_VERSION,
    )
    return row_count(status) == len(rows)


def _decided_columns(rows: Sequence[InboxRow]) -> list[list[object]]:
    return [
        [r.decision for r in rows],
        [r.code for r in rows],
        [r.team_seen for r in rows],
        [r.status_seen for r in rows],
        [r.ended_seen for r in rows],
        [r.fence_seen for r in rows],
        [r.cancellation_id for r in rows],
    ]


async def undecided(tx: Transaction, limit: int, without: Sequence[UUID]) -> list[ReceivedCommand]:
    """The oldest undecided commands, except those of the evaluations in `without`. Locks nothing."""
    return [
        ReceivedCommand(**{**row, "team_ids": tuple(orjson.loads(row["team_ids"]))})
        for row in await fetch(tx, UNDECIDED, limit, without)
    ]


async def lock_undecided(tx: Transaction, keys: Sequence[CommandKey]) -> set[CommandKey]:
    """Locks the commands that are still undecided and returns their keys. Lock the evaluations before."""
    rows = await fetch_as(CommandKey, tx, STILL_UNDECIDED, [k.source for k in keys], [k.id for k in keys])
    return set(rows)


async def save_decisions(tx: Transaction, rows: Sequence[InboxRow]) -> None:
    """Writes the decisions on commands that were inserted undecided. Needs the transaction that has locked them."""
    await tx.execute(
        SAVE_DECISIONS,
        [r.command.source for r in rows],
        [r.command.id for r in rows],
        *_decided_columns(rows),
        DECISION_VERSION,
    )


async def save_offsets(tx: Transaction, positions: Sequence[Position]) -> None:
    """Saves the next position to read of each partition; a saved offset never decreases."""
    await tx.execute(
        SAVE_OFFSETS,
        [p.topic for p in positions],
        [p.partition for p in positions],
        [p.offset for p in positions],
    )


async def saved_offsets(tx: Transaction, topic: str) -> dict[int, int]:
    """The next offset to read of each partition of the topic, by partition."""
    return {row["partition"]: row["next_offset"] for row in await fetch(tx, OFFSETS, topic)}
