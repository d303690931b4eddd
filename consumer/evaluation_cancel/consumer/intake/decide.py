"""Handles a batch of commands in one transaction: inbox, decisions, new cancellations and events together.

A crash before the commit leaves nothing behind and Kafka delivers again; a crash after it finds the commands in the
inbox. What is decided is in `batch.py` and `domain/decisions.py`, the SQL in `store/`. Called by `loop.py` with what
Kafka delivered and by `maintenance/sweep.py` for commands that were left over because their evaluation's row was
locked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog

from evaluation_cancel.consumer.domain.commands import ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import FINAL_STATUSES, EvaluationSeen
from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable, scrub
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.intake.batch import LOCKED, DecisionBatch
from evaluation_cancel.consumer.intake.eager_claims import EagerClaim, EagerClaims
from evaluation_cancel.consumer.sql import cancellations, commands, evaluations, outbox
from evaluation_cancel.consumer.sql.database import Database, Row, Transaction

_ASIDE_SECONDS: Final = 300.0
_log = structlog.get_logger(__name__)


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

    def __init__(self, database: Database, events: OutcomeEvents, handover: EagerClaims) -> None:
        self._database = database
        self._events = events
        self._handover = handover
        self._aside: dict[UUID, float] = {}
        """Evaluations whose left-over commands are not tried before that time of the monotonic clock."""

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

    async def _record(self, tx: Transaction, batch: Batch, offer: EagerClaim) -> DecisionBatch:
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
        """Decides commands whose evaluation was locked by somebody else when they came.

        They are in the inbox already, so that none of them can become a dead letter any more: one whose decision the
        evaluation's table refuses is set aside for a while, and keeps no other waiting.
        """
        free: list[ReceivedCommand] = []
        try:
            async with self._database.transaction() as tx:
                work = DecisionBatch(self._events, await commands.database_time(tx))
                free, seen = await self._free(tx, limit)
                if free:
                    still = await commands.lock_undecided(tx, [c.key for c in free])
                    work.decide([c for c in free if c.key in still], seen)
                    await commands.decide(tx, work.rows)
                await self._write(tx, work, [False] * len(work.openings))
        except (Unstorable, ValueError) as error:
            if limit > 1:
                return await self.left_over(limit // 2)
            self._set_aside(free, error)
            return Decided(counts={}, waiting=0, messages=0)
        return _decided(work, 0)

    def _set_aside(self, refused: Sequence[ReceivedCommand], error: Exception) -> None:
        for command in refused:
            self._aside[command.evaluation_id] = time.monotonic() + _ASIDE_SECONDS
            _log.error(
                "A command cannot be decided: its evaluation's table refuses it. It is tried again in a while.",
                action="decision_refused",
                evaluation_id=str(command.evaluation_id),
                source=command.source,
                command_id=command.id,
                detail=scrub(str(error)),
            )

    async def _free(self, tx: Transaction, limit: int) -> tuple[list[ReceivedCommand], dict[UUID, EvaluationSeen]]:
        """Undecided commands whose evaluation is free by now; many of one that is not hide nobody else's."""
        now = time.monotonic()
        self._aside = {i: until for i, until in self._aside.items() if until > now}
        locked = set(self._aside)
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
