"""Forgets what is older than its retention, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from consumer.store.database import Transaction

# A command that is undecided, or whose cancellation is still open, is kept however old it is. Only the oldest rows are
# looked at, by an index on their age and by the order of their ids: history is large, and mostly young.
FORGET = """
WITH old_commands AS (
    DELETE FROM evaluation_cancel.commands WHERE ctid = ANY (array(
        SELECT c.ctid FROM evaluation_cancel.commands c
        WHERE c.received_at < now() - $1::interval AND c.decision IS NOT NULL AND NOT EXISTS (
            SELECT FROM evaluation_cancel.cancellations x
            WHERE x.evaluation_id = c.evaluation_id AND x.ended_at IS NULL)
        ORDER BY c.received_at LIMIT $3)) RETURNING 1
), old_messages AS (
    DELETE FROM evaluation_cancel.messages WHERE id = ANY (array(
        SELECT m.id FROM (
            SELECT id, created_at FROM evaluation_cancel.messages ORDER BY id LIMIT $3
        ) m
        WHERE m.created_at < now() - $2::interval
        AND NOT EXISTS (SELECT FROM evaluation_cancel.outbox o WHERE o.message_id = m.id))) RETURNING 1
)
SELECT (SELECT count(*) FROM old_commands) + (SELECT count(*) FROM old_messages)
"""


async def forget(tx: Transaction, *, inbox: timedelta, messages: timedelta, limit: int) -> int:
    """Deletes at most `limit` old rows of each; gives how many. Cancellations are kept: they are the record."""
    count: int = await tx.fetchval(FORGET, inbox, messages, limit)
    return count
