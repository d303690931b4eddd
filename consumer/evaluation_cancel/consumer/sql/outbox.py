"""Messages and the queue of those that wait to be published.

`messages` is immutable history, its id the sequence that downstream sees. `outbox` holds references: publishing again
is another reference to the same message, and a row is deleted once the broker has acknowledged it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.messages import Message, pack_headers
from evaluation_cancel.consumer.sql.database import Row, Transaction, fetch

# An event id is published for the first time once, whoever makes it again. The queue's key says what waits for what:
# dead letters for nothing, because their keys are strangers' bytes: of any length, or another evaluation's id.
ADD = """
WITH added AS (
    INSERT INTO evaluation_cancel.messages (event_id, type, evaluation_id, topic, key, value, headers)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[])
    ON CONFLICT (evaluation_id, event_id) DO NOTHING
    RETURNING id, CASE WHEN type <> 'DeadLetter' THEN key END AS key
)
INSERT INTO evaluation_cancel.outbox (message_id, key) SELECT id, key FROM added ORDER BY id
"""

# Locked, so that retention takes none of them away meanwhile.
ADD_AGAIN = """
INSERT INTO evaluation_cancel.outbox (message_id, key)
SELECT m.id, m.key FROM unnest($1::uuid[], $2::uuid[]) AS r (evaluation_id, event_id)
JOIN evaluation_cancel.messages m ON m.evaluation_id = r.evaluation_id AND m.event_id = r.event_id ORDER BY m.id
FOR KEY SHARE OF m
"""

# Oldest first, without the keys that are not to be sent now: parked ones, whose later rows wait with them, and those
# that fill the queue.
OLDEST = """
SELECT o.id, o.key AS waits_with, m.id AS sequence, m.type, m.event_id, m.topic, m.key, m.value, m.headers
FROM (
    SELECT id, key, message_id FROM evaluation_cancel.outbox
    WHERE parked_at IS NULL AND (key IS NULL OR key <> ALL ($1::bytea[])) AND id > $2
    ORDER BY id LIMIT $3
) o
JOIN evaluation_cancel.messages m ON m.id = o.message_id ORDER BY o.id
"""

PARKED_KEYS = """
SELECT DISTINCT key FROM evaluation_cancel.outbox WHERE parked_at IS NOT NULL AND key IS NOT NULL
"""

# Only the leader marks: the epoch is checked by the same statement, behind any pooler.
PUBLISHED = """
DELETE FROM evaluation_cancel.outbox o USING evaluation_cancel.leases l
WHERE o.id = ANY ($1) AND l.name = 'outbox' AND l.epoch = $2
"""

PARK = """
UPDATE evaluation_cancel.outbox o SET parked_at = now(), error_code = $3, error_text = $4
FROM evaluation_cancel.leases l WHERE o.id = $1 AND l.name = 'outbox' AND l.epoch = $2
"""

UNPARK = "UPDATE evaluation_cancel.outbox SET parked_at = NULL WHERE parked_at < now() - $1::interval"

BACKLOG = """
SELECT count(*) AS waiting, count(parked_at) AS parked FROM evaluation_cancel.outbox
"""


async def add(tx: Transaction, messages: Sequence[Message]) -> None:
    """Records messages to be published, in the transaction of whatever they tell."""
    if not messages:
        return
    await tx.execute(
        ADD,
        [m.event_id for m in messages],
        [m.type for m in messages],
        [m.evaluation_id for m in messages],
        [m.topic for m in messages],
        [m.key for m in messages],
        [m.value for m in messages],
        [pack_headers(m.headers) for m in messages],
    )


async def add_again(tx: Transaction, events: Sequence[tuple[UUID, UUID]]) -> None:
    """Publishes again, byte for byte, those of the events (evaluation, event id) that were published before."""
    await tx.execute(ADD_AGAIN, [e[0] for e in events], [e[1] for e in events])


async def oldest(tx: Transaction, without_keys: Sequence[bytes], after: int, limit: int) -> list[Row]:
    """The oldest rows beyond `after` that may be sent, with their messages."""
    return await fetch(tx, OLDEST, without_keys, after, limit)


async def parked_keys(tx: Transaction) -> set[bytes]:
    return {row["key"] for row in await fetch(tx, PARKED_KEYS)}


async def published(tx: Transaction, ids: Sequence[int], epoch: int) -> int:
    """Takes acknowledged rows off the queue; 0 when somebody else leads by now."""
    status = await tx.execute(PUBLISHED, ids, epoch)
    return int(status.rpartition(" ")[2])


async def park(tx: Transaction, row: int, epoch: int, code: str, text: str) -> None:
    """Sets aside a row that the broker refuses for good, with its key, until it is tried again."""
    await tx.execute(PARK, row, epoch, code, text)


async def unpark(tx: Transaction, after: timedelta) -> None:
    """Lets what has been parked for so long be tried once more: limits and rights do get mended."""
    await tx.execute(UNPARK, after)


async def backlog(tx: Transaction) -> Row:
    """How many rows wait, and how many of them are parked."""
    return (await fetch(tx, BACKLOG))[0]


# Takes a free or expired lease with a new epoch, or prolongs one's own with the same.
HOLD_LEASE = """
INSERT INTO evaluation_cancel.leases AS l (name, holder, epoch, until) VALUES ($1, $2, 1, now() + $3::interval)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until = excluded.until,
    epoch = CASE WHEN l.holder = excluded.holder AND l.until > now() THEN l.epoch ELSE l.epoch + 1 END
WHERE l.holder = excluded.holder OR l.until <= now()
RETURNING epoch
"""

RELEASE_LEASE = "UPDATE evaluation_cancel.leases SET until = now() WHERE name = $1 AND holder = $2"


async def hold_lease(tx: Transaction, name: str, holder: str, lease: timedelta) -> int | None:
    """The epoch under which this holder leads for another `lease`, or None while somebody else does."""
    epoch: int | None = await tx.fetchval(HOLD_LEASE, name, holder, lease)
    return epoch


async def release_lease(tx: Transaction, name: str, holder: str) -> None:
    """Gives leadership up early, so that a successor need not wait."""
    await tx.execute(RELEASE_LEASE, name, holder)
