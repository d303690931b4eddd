"""Messages, the queue of those to be published, and the lease of the process that publishes them.

`messages` is immutable history; its id is the sequence number that readers of the topic see. `outbox` holds references
to it: publishing again adds a reference to the same message, and the broker's acknowledgement deletes the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from evaluation_cancel.consumer.domain.messages import Message, pack_headers
from evaluation_cancel.consumer.domain.rows import EventReference, OutboxMessage
from evaluation_cancel.consumer.sql.database import Transaction, fetch, fetch_as, row_count

# A message whose event id exists is not added again. Rows with the same key in `outbox` are sent one after the other.
# Dead letters have no such key: theirs are foreign bytes, of any length, perhaps the id of an evaluation.
ADD = """
WITH added AS (
    INSERT INTO evaluation_cancel.messages (event_id, type, evaluation_id, topic, key, value, headers)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[])
    ON CONFLICT (evaluation_id, event_id) DO NOTHING
    RETURNING id, CASE WHEN type <> 'DeadLetter' THEN key END AS key
)
INSERT INTO evaluation_cancel.outbox (message_id, key) SELECT id, key FROM added ORDER BY id
"""

# The lock keeps retention from deleting the messages.
ADD_AGAIN = """
INSERT INTO evaluation_cancel.outbox (message_id, key)
SELECT m.id, m.key FROM unnest($1::uuid[], $2::uuid[]) AS r (evaluation_id, event_id)
JOIN evaluation_cancel.messages m ON m.evaluation_id = r.evaluation_id AND m.event_id = r.event_id ORDER BY m.id
FOR KEY SHARE OF m
"""

# Oldest first, without the keys in $1: parked ones, whose later rows must wait, and those that fill the queue.
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

# Only the leader may mark messages: the same statement checks its epoch, which works behind any pooler.
PUBLISHED = """
DELETE FROM evaluation_cancel.outbox o USING evaluation_cancel.leases l
WHERE o.id = ANY ($1) AND l.name = 'outbox' AND l.epoch = $2
"""

PARK = """
UPDATE evaluation_cancel.outbox o SET parked_at = now(), error_code = $3, error_text = $4
FROM evaluation_cancel.leases l WHERE o.id = $1 AND l.name = 'outbox' AND l.epoch = $2
"""

UNPARK = "UPDATE evaluation_cancel.outbox SET parked_at = NULL WHERE parked_at < now() - $1::interval"


async def add(tx: Transaction, messages: Sequence[Message]) -> None:
    """Adds messages to be published, in the transaction of the change that they report.

    The evaluations must be locked, so that sequence numbers of one evaluation grow in the order of commits.
    """
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


async def add_again(tx: Transaction, events: Sequence[EventReference]) -> None:
    """Publishes events again, byte for byte; skips those that do not exist. Locks the messages against deletion."""
    await tx.execute(ADD_AGAIN, [e.evaluation_id for e in events], [e.event_id for e in events])


async def oldest(tx: Transaction, without_keys: Sequence[bytes], after: int, limit: int) -> list[OutboxMessage]:
    """The oldest messages with a place beyond `after` that may be sent. Locks nothing."""
    return await fetch_as(OutboxMessage, tx, OLDEST, without_keys, after, limit)


async def parked_keys(tx: Transaction) -> set[bytes]:
    """The keys of parked messages: later messages with these keys must wait."""
    return {row["key"] for row in await fetch(tx, PARKED_KEYS)}


async def published(tx: Transaction, ids: Sequence[int], epoch: int) -> int:
    """Removes acknowledged messages from the queue. Returns how many: 0 when another process leads by now."""
    return row_count(await tx.execute(PUBLISHED, ids, epoch))


async def park(tx: Transaction, row: int, epoch: int, code: str, text: str) -> None:
    """Parks a message that the broker refused; messages with the same key wait until it is tried again."""
    await tx.execute(PARK, row, epoch, code, text)


async def unpark(tx: Transaction, after: timedelta) -> None:
    """Lets messages be tried again that were parked longer ago than `after`: limits and rights may be fixed by now."""
    await tx.execute(UNPARK, after)


# Takes a free or expired lease with a new epoch, or extends the holder's own without changing its epoch.
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
    """Takes or extends the lease. Returns the holder's epoch, or None while another holder leads."""
    epoch: int | None = await tx.fetchval(HOLD_LEASE, name, holder, lease)
    return epoch


async def release_lease(tx: Transaction, name: str, holder: str) -> None:
    """Ends the holder's lease early, so that a successor need not wait."""
    await tx.execute(RELEASE_LEASE, name, holder)
