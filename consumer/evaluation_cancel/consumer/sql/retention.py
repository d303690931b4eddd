"""Forgets what is older than its retention, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from evaluation_cancel.consumer.sql.database import Transaction, fetch

# A command that is undecided, or whose cancellation is still open, is kept however old it is. Only the oldest rows are
# looked at, by an index on their age and by the order of their ids: history is large, and mostly young.
FORGET_COMMANDS = """
DELETE FROM evaluation_cancel.commands WHERE ctid = ANY (array(
    SELECT c.ctid FROM evaluation_cancel.commands c
    WHERE c.received_at < now() - $1::interval AND c.decision IS NOT NULL AND NOT EXISTS (
        SELECT FROM evaluation_cancel.cancellations x
        WHERE x.evaluation_id = c.evaluation_id AND x.ended_at IS NULL)
    ORDER BY c.received_at LIMIT $2))
"""

# Locked first and asked about in a statement of its own: who publishes one again holds a lock on it as well, so that
# either its place in the queue is seen here, or the message is left out, or it is gone before it is queued.
LOCK_OLD_MESSAGES = """
SELECT id FROM evaluation_cancel.messages
WHERE id = ANY (array(SELECT m.id FROM evaluation_cancel.messages m ORDER BY m.id LIMIT $2))
AND created_at < now() - $1::interval ORDER BY id FOR UPDATE SKIP LOCKED
"""
FORGET_MESSAGES = """
DELETE FROM evaluation_cancel.messages m
WHERE m.id = ANY ($1) AND NOT EXISTS (SELECT FROM evaluation_cancel.outbox o WHERE o.message_id = m.id)
"""


async def forget_commands(tx: Transaction, older_than: timedelta, limit: int) -> int:
    """Deletes at most `limit` old commands; gives how many."""
    return _count(await tx.execute(FORGET_COMMANDS, older_than, limit))


async def forget_messages(tx: Transaction, older_than: timedelta, limit: int) -> int:
    """Deletes at most `limit` old messages, none that waits to be published; gives how many. Needs a transaction."""
    locked = [row["id"] for row in await fetch(tx, LOCK_OLD_MESSAGES, older_than, limit)]
    return _count(await tx.execute(FORGET_MESSAGES, locked)) if locked else 0


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
