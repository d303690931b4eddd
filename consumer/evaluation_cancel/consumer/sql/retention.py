"""Deletes commands and messages older than their retention, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from evaluation_cancel.consumer.sql.database import Transaction, fetch, row_count

# A command that is undecided, or whose evaluation has an open cancellation, is kept at any age. Only the oldest rows
# are read, by an index on their age or in the order of their ids, because most of the large history is young.
FORGET_COMMANDS = """
DELETE FROM evaluation_cancel.commands WHERE ctid = ANY (array(
    SELECT c.ctid FROM evaluation_cancel.commands c
    WHERE c.received_at < now() - $1::interval AND c.decision IS NOT NULL AND NOT EXISTS (
        SELECT FROM evaluation_cancel.cancellations x
        WHERE x.evaluation_id = c.evaluation_id AND x.ended_at IS NULL)
    ORDER BY c.received_at LIMIT $2))
"""

# Two statements: lock the messages, then delete those outside the outbox. Publishing a message again locks it too, so
# the second statement sees its new place in the outbox, or the first skips it, or it is deleted before it is queued.
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
    """Deletes at most `limit` old commands; returns how many."""
    return row_count(await tx.execute(FORGET_COMMANDS, older_than, limit))


async def forget_messages(tx: Transaction, older_than: timedelta, limit: int) -> int:
    """Deletes at most `limit` old messages, none of them in the outbox; returns how many. Needs a transaction."""
    locked = [row["id"] for row in await fetch(tx, LOCK_OLD_MESSAGES, older_than, limit)]
    return row_count(await tx.execute(FORGET_MESSAGES, locked)) if locked else 0
