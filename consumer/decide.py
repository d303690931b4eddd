"""Handles a batch of commands in one transaction: inbox, decisions, new cancellations and events together.

A crash before the commit leaves nothing behind and Kafka delivers again; a crash after it finds the commands in the
inbox. What is decided is in `decision_batch.py` and `decisions.py`, the SQL in `store/`. Called by `intake.py` with
what Kafka delivered and by `reconcile.py` for commands that were left over because their evaluation's row was locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from consumer.decision_batch import LOCKED, DecisionBatch
from consumer.decisions import FINAL_STATUSES, EvaluationSeen
from consumer.errors import TemporaryError
from consumer.handover import Handover, Offer
from consumer.messages import Message
from consumer.outcome_events import OutcomeEvents
from consumer.received import ReceivedCommand
from consumer.store import cancellations, commands, evaluations, outbox
from consumer.store.database import Database, Row, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one read of Kafka brought: commands, dead letters for what is none, and where to read on."""

    commands: Sequence[ReceivedCommand] = ()
    dead_letters: Sequence[Message] = ()
    next_offsets: Sequence[tuple[str, int, int]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What became of a batch, for metrics and for waking the loops that go on with it."""

    counts: Mapping[str, int]
    waiting: int
    """Cancellations opened that this process did not take on at once."""
    messages: int


class Decide:
    """The use case. Raises `TemporaryError` when it is to be repeated and `Unstorable` when it is to be halved."""

    def __init__(self, database: Database, events: OutcomeEvents, handover: Handover) -> None:
        self._database = database
        self._events = events
        self._handover = handover

    async def record(self, batch: Batch) -> Decided:
        """Records and decides everything in the batch and stores its offsets, in one transaction."""
        offer = self._handover.offer()
        try:
            async with self._database.transaction() as tx:
                work = await self._record(tx, batch, offer)
        except BaseException:
            offer.withdrawn()
            raise
        offer.committed()
        return _decided(work, len(offer))

    async def _record(self, tx: Transaction, batch: Batch, offer: Offer) -> DecisionBatch:
        work = DecisionBatch(self._events, await commands.database_time(tx))
        work.messages += batch.dead_letters
        jobs: Mapping[UUID, Row] = {}
        if batch.commands:
            seen, jobs = await self._see(tx, sorted({c.evaluation_id for c in batch.commands}))
            known = await commands.known(tx, [c.key for c in batch.commands])
            work.decide(work.first_seen(batch.commands, known), seen)
            if work.rows and not await commands.insert(tx, work.rows):
                # Another consumer recorded one of them between our read and our write: it is known next time.
                raise TemporaryError("lost_race", "another consumer recorded one of these commands first")
        await self._write(tx, work, offer.choose(work.openings, jobs, work.now))
        if batch.next_offsets:
            await commands.save_offsets(tx, batch.next_offsets)
        return work

    async def left_over(self, limit: int) -> Decided:
        """Decides commands whose evaluation was locked by somebody else when they came."""
        async with self._database.transaction() as tx:
            work = DecisionBatch(self._events, await commands.database_time(tx))
            free, seen = await self._free(tx, limit)
            if free:
                still = await commands.lock_undecided(tx, [c.key for c in free])
                work.decide([c for c in free if c.key in still], seen)
                await commands.decide(tx, work.rows)
            await self._write(tx, work, [False] * len(work.openings))
        return _decided(work, 0)

    async def _free(self, tx: Transaction, limit: int) -> tuple[list[ReceivedCommand], dict[UUID, EvaluationSeen]]:
        """Undecided commands whose evaluation is free by now; many of one that is not hide nobody else's."""
        locked: set[UUID] = set()
        while waiting := await commands.undecided(tx, limit, list(locked)):
            seen, _ = await self._see(tx, sorted({c.evaluation_id for c in waiting}))
            free = [c for c in waiting if seen.get(c.evaluation_id) is not LOCKED]
            if free:
                return free, seen
            locked.update(seen)
        return [], {}

    async def _see(self, tx: Transaction, ids: Sequence[UUID]) -> tuple[dict[UUID, EvaluationSeen], Mapping[UUID, Row]]:
        """Locks the evaluations and reads their fences, which must come after: a read beside the lock is stale.

        Gives what decisions see, and the rows as they are.
        """
        rows = {row["id"]: row for row in await evaluations.lock(tx, ids)}
        seen = {
            i: EvaluationSeen(
                team_id=row["team_id"], status=row["status"], cluster=row["cluster"], ended_at=row["ended_at"]
            )
            for i, row in rows.items()
        }
        active = [i for i, s in seen.items() if s.status not in FINAL_STATUSES]
        cancelled = [i for i, s in seen.items() if s.status == "cancelled"]
        for fence in await evaluations.fences(tx, active, cancelled):
            which = "open_cancellation" if fence["open"] else "ended_by"
            seen[fence["evaluation_id"]] = replace(seen[fence["evaluation_id"]], **{which: fence["id"]})
        missing = [i for i in ids if i not in seen]
        if missing:
            seen.update(dict.fromkeys(await evaluations.existing(tx, missing), LOCKED))
        return seen, rows

    async def _write(self, tx: Transaction, work: DecisionBatch, claimed: Sequence[bool]) -> None:
        if work.openings:
            worker, lease = self._handover.worker, self._handover.lease
            await cancellations.open_new(tx, work.openings, claimed, worker, lease)
            await evaluations.touch(tx, [o.evaluation_id for o in work.openings])
        if work.joined:
            await cancellations.join(tx, work.joined)
        if work.messages:
            await outbox.add(tx, work.messages)
        if work.again:
            await outbox.add_again(tx, work.again)


def _decided(work: DecisionBatch, taken: int) -> Decided:
    messages = len(work.messages) + len(work.again)
    return Decided(counts=work.counts, waiting=len(work.openings) - taken, messages=messages)
