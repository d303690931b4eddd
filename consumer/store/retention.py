"""Forgets what is older than its retention, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from consumer.store.database import Transaction

# A command that is undecided, or whose cancellation is still open, is kept however old it is.
FORGET = """
WITH old_commands AS (
    DELETE FROM evaluation_cancel.commands WHERE ctid = ANY (array(
        SELECT c.ctid FROM evaluation_cancel.commands c
        WHERE c.received_at < now() - $1::interval AND c.decision IS NOT NULL AND NOT EXISTS (
            SELECT FROM evaluation_cancel.cancellations x
            WHERE x.evaluation_id = c.evaluation_id AND x.ended_at IS NULL)
        LIMIT $3)) RETURNING 1
), old_messages AS (
    DELETE FROM evaluation_cancel.messages WHERE id = ANY (array(
        SELECT m.id FROM evaluation_cancel.messages m
        WHERE m.created_at < now() - $2::interval
        AND NOT EXISTS (SELECT FROM evaluation_cancel.outbox o WHERE o.message_id = m.id)
        ORDER BY m.id LIMIT $3)) RETURNING 1
)
SELECT (SELECT count(*) FROM old_commands) + (SELECT count(*) FROM old_messages)
"""


async def forget(tx: Transaction, *, inbox: timedelta, messages: timedelta, limit: int) -> int:
    """Deletes at most `limit` old rows of each; gives how many. Cancellations are kept: they are the record."""
    count: int = await tx.fetchval(FORGET, inbox, messages, limit)
    return count
