"""Leadership as a row: a holder, an end by the database's clock, an epoch that grows with every change of holder."""

from __future__ import annotations

from datetime import timedelta

from consumer.store.database import Transaction

# Takes a free or expired lease with a new epoch, or prolongs one's own with the same.
HOLD = """
INSERT INTO evaluation_cancel.leases AS l (name, holder, epoch, until) VALUES ($1, $2, 1, now() + $3::interval)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until = excluded.until,
    epoch = CASE WHEN l.holder = excluded.holder AND l.until > now() THEN l.epoch ELSE l.epoch + 1 END
WHERE l.holder = excluded.holder OR l.until <= now()
RETURNING epoch
"""

RELEASE = "UPDATE evaluation_cancel.leases SET until = now() WHERE name = $1 AND holder = $2"


async def hold(tx: Transaction, name: str, holder: str, lease: timedelta) -> int | None:
    """The epoch under which this holder leads for another `lease`, or None while somebody else does."""
    epoch: int | None = await tx.fetchval(HOLD, name, holder, lease)
    return epoch


async def release(tx: Transaction, name: str, holder: str) -> None:
    """Gives leadership up early, so that a successor need not wait."""
    await tx.execute(RELEASE, name, holder)
