"""The teardown's state in Postgres: claims, intents, and the end of a cancellation with all that belongs to it.

The end is one transaction: it removes the fence, sets the evaluation to cancelled (or applies a held report), and adds
the outcome event to the outbox. After a crash before its commit the row stays claimed until its lease ends; the next
attempt finds the Job gone. Implements `CancellationStore` of `ports.py`; the SQL is in `sql/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import (
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    Retry,
    StillStopping,
)
from evaluation_cancel.consumer.domain.evaluations import JobLocation
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.evidence import dump_evidence, load_evidence, published_evidence
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.domain.rows import ClaimedRow, EndedCancellation, Ending, PutBack
from evaluation_cancel.consumer.sql import cancellations, evaluations, outbox
from evaluation_cancel.consumer.sql.database import Database, Transaction
from evaluation_cancel.consumer.teardown.rules import TeardownRules, retry_pause
from evaluation_cancel.schemas.events import Evidence

_LOCKED_PAUSE = timedelta(seconds=1)


class PostgresCancellationStore:
    """Reads and writes batches of claims, intents and outcomes. `call_margin` is the longest time of a remote call."""

    def __init__(
        self,
        database: Database,
        events: OutcomeEvents,
        *,
        call_margin: timedelta,
        cleanup_deadline: timedelta,
        on_ended: Callable[[], None],
        rules: TeardownRules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_ended` is called after ends were recorded: there are events to publish and perhaps artifacts to clean."""
        self._database = database
        self._events = events
        self._call_margin = call_margin
        self._cleanup_deadline = cleanup_deadline
        self._on_ended = on_ended
        self._rules = rules or TeardownRules()
        self._now = now

    async def claim_cancellations(
        self, *, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
    ) -> list[ClaimedCancellation]:
        """Claims due rows of these clusters and those without a cluster, a fair share for each team."""
        # Read our clock before the claim, so that our deadline is never later than the lease in the database.
        deadline = time.monotonic() + (lease - self._call_margin).total_seconds()
        async with self._database.transaction() as tx:
            rows = await cancellations.claim(tx, clusters, worker, limit, lease)
            jobs = await cancellations.jobs(tx, [row.evaluation_id for row in rows]) if rows else {}
        now = self._now()
        return [
            _claimed(row, jobs.get(row.evaluation_id), deadline=deadline, clock_ahead=row.claimed_at - now)
            for row in rows
        ]

    async def record_intents(self, claims: Sequence[ClaimedCancellation]) -> set[UUID]:
        """Records that a DELETE may follow; returns the ids of those whose claim still holds."""
        async with self._database.connection() as tx:
            return await cancellations.record_intents(tx, claims)

    async def wake_cancellations(self, evaluation_ids: Sequence[UUID]) -> int:
        """Makes waiting cancellations due now; returns how many."""
        async with self._database.connection() as tx:
            return await cancellations.wake(tx, evaluation_ids)

    async def release(self, worker: str) -> None:
        """Releases all claims of a worker that stops, so that others need not wait for its leases."""
        async with self._database.connection() as tx:
            await cancellations.release(tx, worker)

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        """Writes the outcomes of attempts. Ignores those of an attempt that is no longer the newest."""
        async with self._database.transaction() as tx:
            ended = [(row, o) for row, o in outcomes if isinstance(o, Gone | Failed)]
            locked, held = await evaluations.try_lock(tx, [row.evaluation_id for row, _ in ended])
            back = [_put_back(row, o) for row, o in outcomes if isinstance(o, StillStopping | Retry)]
            back += [
                _put_back_unended(row, o, self._rules, exists=row.evaluation_id in held)
                for row, o in ended
                if row.evaluation_id not in locked
            ]
            if back:
                await cancellations.put_back(tx, sorted(back, key=lambda r: r.id))
            await self._end(tx, [(row, o) for row, o in ended if row.evaluation_id in locked])
        if ended:
            self._on_ended()

    async def _end(self, tx: Transaction, outcomes: Sequence[tuple[ClaimedCancellation, Gone | Failed]]) -> None:
        if not outcomes:
            return
        endings = sorted((_ending(row, o) for row, o in outcomes), key=lambda e: e.id)
        rows = await cancellations.end(tx, endings, self._cleanup_deadline)
        evidence = {row.id: published_evidence(o.evidence) for row, o in outcomes}
        await record_end(tx, self._events, rows, evidence)


async def record_end(
    tx: Transaction, events: OutcomeEvents, ended: Sequence[EndedCancellation], evidence: Mapping[UUID, Evidence]
) -> None:
    """Writes what belongs to ended cancellations: the evaluations' status, held reports, the outcome events.

    Needs the transaction that ended them. `evidence` is by cancellation id.
    """
    gone = [e for e in ended if e.phase == "cancelled"]
    failed = [e for e in ended if e.phase == "failed"]
    several = [e for e in ended if e.joined]
    commands = await cancellations.commands_of(tx, several) if several else {}
    if gone:
        await evaluations.cancel(tx, [e.evaluation_id for e in gone], gone[0].ended_at)
    if failed:
        await evaluations.apply_held_reports(tx, [e.evaluation_id for e in failed])
    messages: list[Message] = [events.cancelled(e, commands.get(e.id, [e.command_id]), evidence[e.id]) for e in gone]
    messages += [events.failed(e, commands.get(e.id, [e.command_id])) for e in failed]
    await outbox.add(tx, messages)


def _claimed(
    row: ClaimedRow, job: JobLocation | None, *, deadline: float, clock_ahead: timedelta
) -> ClaimedCancellation:
    return ClaimedCancellation(
        id=row.id,
        evaluation_id=row.evaluation_id,
        team_id=row.team_id,
        attempt=row.attempt,
        polls=row.polls,
        errors=row.errors,
        phase=row.phase,
        status_before=row.status_before,
        cluster=row.cluster,
        namespace=job.job_namespace if job else None,
        job_name=job.job_name if job else None,
        job_uid=job.job_uid if job else None,
        accepted_at=row.accepted_at,
        intent_at=row.intent_at,
        refused_since=row.refused_since,
        evidence=load_evidence(row.evidence),
        deadline=deadline,
        clock_ahead=clock_ahead,
    )


def _put_back(row: ClaimedCancellation, outcome: StillStopping | Retry) -> PutBack:
    evidence = None if outcome.evidence == row.evidence else dump_evidence(outcome.evidence)
    if isinstance(outcome, StillStopping):
        pause = timedelta(seconds=outcome.poll_again_in)
        return PutBack(id=row.id, attempt=row.attempt, pause=pause, evidence=evidence)
    return PutBack(
        id=row.id,
        attempt=row.attempt,
        pause=timedelta(seconds=outcome.retry_in),
        evidence=evidence,
        code=outcome.code,
        text=outcome.detail,
        # An earlier attempt's intent means that something may have been deleted, whatever this one was refused.
        nothing_deleted=outcome.refused and row.intent_at is None,
    )


def _put_back_unended(
    row: ClaimedCancellation, outcome: Gone | Failed, rules: TeardownRules, *, exists: bool
) -> PutBack:
    """For an end that cannot be written. If another session holds the evaluation's row, try again in a moment.

    If the evaluation does not exist any more, try again at growing intervals until an operator resolves it by hand.
    """
    missing = None if exists else f"there is no evaluation {row.evaluation_id} any more; resolve this by hand"
    return PutBack(
        id=row.id,
        attempt=row.attempt,
        pause=_LOCKED_PAUSE if exists else timedelta(seconds=retry_pause(row.errors, rules)),
        evidence=dump_evidence(outcome.evidence),
        code=None if exists else "evaluation_missing",
        text=missing,
        # A failed attempt deleted nothing. If its intent stayed, no later attempt could fail.
        nothing_deleted=isinstance(outcome, Failed),
    )


def _ending(row: ClaimedCancellation, outcome: Gone | Failed) -> Ending:
    evidence = dump_evidence(outcome.evidence)
    if isinstance(outcome, Gone):
        return Ending(id=row.id, attempt=row.attempt, phase="cancelled", evidence=evidence)
    return Ending(
        id=row.id,
        attempt=row.attempt,
        phase="failed",
        evidence=evidence,
        code=outcome.code,
        text=outcome.detail,
    )
