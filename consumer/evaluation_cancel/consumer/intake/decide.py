"""Handles a batch of commands in one transaction: inbox, decisions, new cancellations and events together.

After a crash before the commit nothing is stored and Kafka delivers again; after a crash behind it the inbox recognises
the commands. The rules are in `batch.py` and `domain/decisions.py`, the SQL in `sql/`. `loop.py` calls it with the
records from Kafka, and `maintenance/sweep.py` for commands left undecided because their evaluation's row was locked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog

from evaluation_cancel.consumer.domain.commands import Position, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import FINAL_STATUSES, EvaluationSeen
from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable, scrub
from evaluation_cancel.consumer.domain.evaluations import LockedEvaluation
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.intake.batch import LOCKED, DecisionBatch
from evaluation_cancel.consumer.intake.eager_claims import EagerClaim, EagerClaims
from evaluation_cancel.consumer.sql import cancellations, commands, evaluations, outbox
from evaluation_cancel.consumer.sql.database import Database, Transaction

_ASIDE_SECONDS: Final = 300.0
_Seen = tuple[dict[UUID, EvaluationSeen], dict[UUID, LockedEvaluation]]
"""Evaluations as decisions see them, and the locked rows."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One read of Kafka: commands, dead letters for undecodable records, and the next offsets."""

    commands: Sequence[ReceivedCommand] = ()
    dead_letters: Sequence[Message] = ()
    next_offsets: Sequence[Position] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """The result of a batch, for metrics and for waking the loops that continue with it."""

    counts: Mapping[str, int]
    """How many commands had each decision, rejection code or other result."""
    waiting: int
    """Cancellations opened that wait for a claim, because this process had no free slot for them."""
    messages: int
    """Events and dead letters to be published, again or for the first time."""


class DecisionService:
    """Records and decides commands. Raises `TemporaryError`: repeat the batch, or `Unstorable`: halve it."""

    def __init__(self, database: Database, events: OutcomeEvents, eager_claims: EagerClaims) -> None:
        self._database = database
        self._events = events
        self._eager_claims = eager_claims
        self._aside: dict[UUID, float] = {}
        """Evaluations whose undecided commands are not tried before that time of the monotonic clock."""

    async def record(self, batch: Batch) -> Decided:
        """Records and decides all commands of the batch and saves its offsets, in one transaction."""
        offer = self._eager_claims.offer()
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
        locked: Mapping[UUID, LockedEvaluation] = {}
        if batch.commands:
            seen, locked = await self._see(tx, sorted({c.evaluation_id for c in batch.commands}))
            known = await commands.known(tx, [c.key for c in batch.commands])
            work.plan(work.new_commands(batch.commands, known), seen)
            _log_unknown(locked, work)
            if work.inbox_rows and not await commands.insert(tx, work.inbox_rows):
                # Another consumer inserted one of them between our read and our write; repeating finds it known.
                raise TemporaryError("lost_race", "another consumer recorded one of these commands first")
        await self._write(tx, work, offer.choose(work.openings, locked, work.now))
        if batch.next_offsets:
            await commands.save_offsets(tx, batch.next_offsets)
        return work

    async def left_over(self, limit: int) -> Decided:
        """Decides commands that were recorded while another session had locked their evaluation.

        They are in the inbox, so none of them can become a dead letter any more. If the evaluations' table refuses a
        decision, its command is set aside for a while, so that the others need not wait.
        """
        free: list[ReceivedCommand] = []
        try:
            async with self._database.transaction() as tx:
                work = DecisionBatch(self._events, await commands.database_time(tx))
                free, (seen, rows) = await self._free(tx, limit)
                if free:
                    still = await commands.lock_undecided(tx, [c.key for c in free])
                    work.plan([c for c in free if c.key in still], seen)
                    _log_unknown(rows, work)
                    await commands.save_decisions(tx, work.inbox_rows)
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

    async def _free(self, tx: Transaction, limit: int) -> tuple[list[ReceivedCommand], _Seen]:
        """Undecided commands whose evaluation is not locked any more, and those evaluations as seen.

        A locked evaluation with many commands does not crowd out the others.
        """
        now = time.monotonic()
        self._aside = {i: until for i, until in self._aside.items() if until > now}
        locked = set(self._aside)
        while waiting := await commands.undecided(tx, limit, list(locked)):
            seen, rows = await self._see(tx, sorted({c.evaluation_id for c in waiting}))
            free = [c for c in waiting if seen.get(c.evaluation_id) is not LOCKED]
            if free:
                return free, (seen, rows)
            locked.update(seen)
        return [], ({}, {})

    async def _see(self, tx: Transaction, ids: Sequence[UUID]) -> _Seen:
        """Locks the evaluations and reads their fences. Returns what decisions see, and the locked rows.

        Fences are read after the lock: an earlier read may be stale.
        """
        locked = {row.id: row for row in await evaluations.lock(tx, ids)}
        seen = {
            i: EvaluationSeen(team_id=row.team_id, status=row.status, cluster=row.cluster, ended_at=row.ended_at)
            for i, row in locked.items()
        }
        active = [i for i, s in seen.items() if s.status not in FINAL_STATUSES]
        cancelled = [i for i, s in seen.items() if s.status == "cancelled"]
        for fence in await evaluations.fences(tx, active, cancelled):
            evaluation = seen[fence.evaluation_id]
            seen[fence.evaluation_id] = (
                replace(evaluation, open_cancellation=fence.cancellation_id)
                if fence.open
                else replace(evaluation, ended_by=fence.cancellation_id)
            )
        missing = [i for i in ids if i not in seen]
        if missing:
            seen.update(dict.fromkeys(await evaluations.existing(tx, missing), LOCKED))
        return seen, locked

    async def _write(self, tx: Transaction, work: DecisionBatch, claimed: Sequence[bool]) -> None:
        if work.openings:
            worker, lease = self._eager_claims.worker, self._eager_claims.lease
            await cancellations.open_new(tx, work.openings, claimed, worker, lease)
            await evaluations.touch(tx, [o.evaluation_id for o in work.openings])
        if work.joined:
            await cancellations.join(tx, work.joined)
        if work.messages:
            await outbox.add(tx, work.messages)
        if work.republished:
            await outbox.add_again(tx, work.republished)


def _log_unknown(rows: Mapping[UUID, LockedEvaluation], work: DecisionBatch) -> None:
    for evaluation_id in work.of_unknown_status:
        _log.warning(
            "A command is rejected: the setting EVALUATIONS_TABLE does not say what its evaluation's status means.",
            action="unknown_status",
            evaluation_id=str(evaluation_id),
            status=scrub(rows[evaluation_id].word or "", 100),
        )


def _decided(work: DecisionBatch, claimed: int) -> Decided:
    messages = len(work.messages) + len(work.republished)
    return Decided(counts=work.counts, waiting=len(work.openings) - claimed, messages=messages)
