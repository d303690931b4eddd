"""The inbox: commands with what was decided on each, and the next offset of each partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.commands import InboxRow, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION
from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

NOW = "SELECT now()"

# What is known of these ids already, with the command that opened the cancellation each one led to.
KNOWN = """
SELECT c.source, c.id, c.meaning, c.decision, c.topic, c.partition, c."offset",
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
SELECT source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team, reason, cleanup_artifacts,
    requested_at, expires_at, traceparent, correlation_id, topic, partition, "offset", raw_sha256
FROM evaluation_cancel.commands WHERE decision IS NULL AND evaluation_id <> ALL ($2)
ORDER BY topic, partition, "offset" LIMIT $1
"""

# Locked in the order of the inbox's key; what another consumer has decided meanwhile drops out.
STILL_UNDECIDED = """
SELECT c.source, c.id FROM unnest($1::text[], $2::text[]) AS k (source, id)
JOIN evaluation_cancel.commands c ON c.source = k.source AND c.id = k.id
WHERE c.decision IS NULL ORDER BY c.source, c.id FOR NO KEY UPDATE OF c SKIP LOCKED
"""

DECIDE = """
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
    moment: datetime = await tx.fetchval(NOW)
    return moment


async def known(tx: Transaction, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    """The inbox rows of these (source, id) that exist already."""
    rows = await fetch(tx, KNOWN, [k[0] for k in keys], [k[1] for k in keys])
    return {(row["source"], row["id"]): row for row in rows}


async def insert(tx: Transaction, rows: Sequence[InboxRow]) -> bool:
    """Inserts all rows, in the order of their key; False when another consumer was faster with one of them."""
    rows = sorted(rows, key=lambda r: r.command.key)
    commands = [r.command for r in rows]
    status = await tx.execute(
        INSERT,
        [c.source for c in commands],
        [c.id for c in commands],
        [c.evaluation_id for c in commands],
        [c.meaning for c in commands],
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
    return int(status.rpartition(" ")[2]) == len(rows)


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
    """The oldest commands that still wait for their evaluation's lock, leaving out some evaluations."""
    return [
        ReceivedCommand(**{**row, "team_ids": tuple(orjson.loads(row["team_ids"]))})
        for row in await fetch(tx, UNDECIDED, limit, without)
    ]


async def lock_undecided(tx: Transaction, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Locks those of the commands that are still undecided. The evaluations must be locked already."""
    rows = await fetch(tx, STILL_UNDECIDED, [k[0] for k in keys], [k[1] for k in keys])
    return {(row["source"], row["id"]) for row in rows}


async def decide(tx: Transaction, rows: Sequence[InboxRow]) -> None:
    """Writes the decisions on commands that were left over."""
    await tx.execute(
        DECIDE,
        [r.command.source for r in rows],
        [r.command.id for r in rows],
        *_decided_columns(rows),
        DECISION_VERSION,
    )


async def save_offsets(tx: Transaction, offsets: Iterable[tuple[str, int, int]]) -> None:
    """The next offset to read of each (topic, partition); never moves back."""
    rows = list(offsets)
    await tx.execute(SAVE_OFFSETS, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


async def saved_offsets(tx: Transaction, topic: str) -> dict[int, int]:
    return {row["partition"]: row["next_offset"] for row in await fetch(tx, OFFSETS, topic)}
