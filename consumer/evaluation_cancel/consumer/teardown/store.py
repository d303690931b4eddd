"""What Postgres holds of a teardown: claims, intents, and the end of a cancellation with everything that hangs on it.

The end is one transaction: the fence comes down, the evaluation becomes cancelled (or a held report is applied), and
the outcome event is in the outbox. A crash before it leaves the row claimed until its lease ends; a Job that is gone by
then is found gone. Implements the store that `loop.py` asks for; the SQL is in `store/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import (
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    Retry,
    StillStopping,
)
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.evidence import dump_evidence, load_evidence, published_evidence
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.sql import cancellations, evaluations, outbox
from evaluation_cancel.consumer.sql.cancellations import Ending, PutBack
from evaluation_cancel.consumer.sql.database import Database, Transaction
from evaluation_cancel.consumer.teardown.attempt import TeardownRules, retry_pause
from evaluation_cancel.schemas.events import Evidence

_LOCKED_PAUSE = timedelta(seconds=1)


class PostgresCancellationStore:
    """Claims, intents and outcomes, each a batch. `call_margin` is how long a remote call may last at most."""

    def __init__(
        self,
        database: Database,
        events: OutcomeEvents,
        *,
        call_margin: timedelta,
        cleanup_deadline: timedelta,
        ended: Callable[[], None],
        rules: TeardownRules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`ended` is called after outcomes were recorded: there is something to publish, perhaps to clean up."""
        self._database = database
        self._events = events
        self._call_margin = call_margin
        self._cleanup_deadline = cleanup_deadline
        self._ended = ended
        self._rules = rules or TeardownRules()
        self._now = now

    async def claim_cancellations(
        self, *, clusters: Sequence[str], worker: str, limit: int, lease: timedelta
    ) -> list[ClaimedCancellation]:
        """Due rows of these clusters, a fair share for each team, held until the lease ends."""
        # The clock starts before the claim does, so that ours never outlasts the database's.
        deadline = time.monotonic() + (lease - self._call_margin).total_seconds()
        async with self._database.transaction() as tx:
            rows = await cancellations.claim(tx, clusters, worker, limit, lease)
            jobs = await cancellations.jobs(tx, [r["evaluation_id"] for r in rows]) if rows else {}
        now = self._now()
        return [
            _claimed(row, jobs.get(row["evaluation_id"], {}), deadline=deadline, clock_ahead=row["claimed_at"] - now)
            for row in rows
        ]

    async def record_intents(self, held: Sequence[tuple[UUID, int]]) -> set[UUID]:
        """From the commit of this on, something may have been deleted."""
        async with self._database.connection() as tx:
            return await cancellations.record_intents(tx, held)

    async def wake_cancellations(self, evaluation_ids: Sequence[UUID]) -> int:
        async with self._database.connection() as tx:
            return await cancellations.wake(tx, evaluation_ids)

    async def release(self, worker: str) -> None:
        """For a worker that stops: others need not wait for its leases."""
        async with self._database.connection() as tx:
            await cancellations.release(tx, worker)

    async def finish_cancellations(self, outcomes: Sequence[tuple[ClaimedCancellation, Outcome]]) -> None:
        """Records what came of each attempt. An attempt that is no longer the newest is ignored."""
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
            self._ended()

    async def _end(self, tx: Transaction, outcomes: Sequence[tuple[ClaimedCancellation, Gone | Failed]]) -> None:
        if not outcomes:
            return
        endings = sorted((_ending(row, o) for row, o in outcomes), key=lambda e: e.id)
        rows = await cancellations.end(tx, endings, self._cleanup_deadline)
        evidence = {row.id: published_evidence(o.evidence) for row, o in outcomes}
        await record_end(tx, self._events, rows, evidence)


async def record_end(
    tx: Transaction, events: OutcomeEvents, ended: Sequence[Mapping[str, Any]], evidence: Mapping[UUID, Evidence]
) -> None:
    """Everything that hangs on ended cancellations: the evaluations' status, held reports, the outcome events."""
    gone = [e for e in ended if e["phase"] == "cancelled"]
    failed = [e for e in ended if e["phase"] == "failed"]
    several = [e for e in ended if e["joined"]]
    commands = await cancellations.commands_of(tx, several) if several else {}
    if gone:
        await evaluations.cancel(tx, [e["evaluation_id"] for e in gone], gone[0]["ended_at"])
    if failed:
        await evaluations.apply_held_reports(tx, [e["evaluation_id"] for e in failed])
    messages: list[Message] = [
        events.cancelled(e, commands.get(e["id"], [e["command_id"]]), evidence[e["id"]]) for e in gone
    ]
    messages += [events.failed(e, commands.get(e["id"], [e["command_id"]])) for e in failed]
    await outbox.add(tx, messages)


def _claimed(
    row: Mapping[str, Any], job: Mapping[str, Any], *, deadline: float, clock_ahead: timedelta
) -> ClaimedCancellation:
    return ClaimedCancellation(
        id=row["id"],
        evaluation_id=row["evaluation_id"],
        team_id=row["team_id"],
        attempt=row["attempts"],
        looks=row["looks"],
        errors=row["errors"],
        phase=row["phase"],
        status_before=row["status_before"],
        cluster=row["cluster"],
        namespace=job.get("job_namespace"),
        job_name=job.get("job_name"),
        job_uid=job.get("job_uid"),
        accepted_at=row["accepted_at"],
        intent_at=row["intent_at"],
        refused_since=row["refused_since"],
        evidence=load_evidence(row["evidence"]),
        deadline=deadline,
        clock_ahead=clock_ahead,
    )


def _put_back(row: ClaimedCancellation, outcome: StillStopping | Retry) -> PutBack:
    evidence = None if outcome.evidence == row.evidence else dump_evidence(outcome.evidence)
    if isinstance(outcome, StillStopping):
        pause = timedelta(seconds=outcome.look_again_in)
        return PutBack(id=row.id, attempt=row.attempt, pause=pause, evidence=evidence)
    return PutBack(
        id=row.id,
        attempt=row.attempt,
        pause=timedelta(seconds=outcome.retry_in),
        evidence=evidence,
        code=outcome.code,
        text=outcome.detail,
        # With an intent from an earlier attempt, no refusal of this one makes it certain.
        nothing_deleted=outcome.refused and row.intent_at is None,
    )


def _put_back_unended(
    row: ClaimedCancellation, outcome: Gone | Failed, rules: TeardownRules, *, exists: bool
) -> PutBack:
    """An end that cannot be written: found again in a moment when somebody else's session holds the evaluation's row,
    and looked at ever more rarely when there is none any more, which takes an operator's `resolve`.
    """
    missing = None if exists else f"there is no evaluation {row.evaluation_id} any more; resolve this by hand"
    return PutBack(
        id=row.id,
        attempt=row.attempt,
        pause=_LOCKED_PAUSE if exists else timedelta(seconds=retry_pause(row.errors, rules)),
        evidence=dump_evidence(outcome.evidence),
        code=None if exists else "evaluation_missing",
        text=missing,
        # One that fails is certain of it; otherwise this attempt's intent would forbid it to fail ever after.
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
