"""The cleanup's state in Postgres: its claim, and its end in one transaction with its event.

Implements `CleanupStore` of `loop.py`; the SQL is in `sql/cleanups.py`. After a crash before the end is recorded the
row stays claimed until its lease ends; deleting objects that are gone already is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import orjson
from pydantic import TypeAdapter

from evaluation_cancel.consumer.domain.cleanups import (
    ClaimedCleanup,
    Cleaned,
    CleanupOutcome,
    CleanupReport,
    RetryCleanup,
)
from evaluation_cancel.consumer.domain.evaluations import ArtifactPlace
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.rows import ClaimedCleanupRow, CleanupEnding, CleanupPutBack, EndedCleanup
from evaluation_cancel.consumer.sql import cleanups, evaluations, outbox
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.schemas.events import EvaluationArtifactsCleaned, KeptArtifact

_REPORT: Final = TypeAdapter(CleanupReport)
_CONTINUED: Final = "continued"
_HELD_PAUSE: Final = timedelta(seconds=1)


class PostgresCleanupStore:
    """Reads and writes batches of claims and outcomes. `call_margin` is the longest time of a remote call."""

    def __init__(
        self, database: Database, events: OutcomeEvents, *, call_margin: timedelta, on_ended: Callable[[], None]
    ) -> None:
        """`on_ended` is called after outcomes were recorded: there are events to publish."""
        self._database = database
        self._events = events
        self._call_margin = call_margin
        self._on_ended = on_ended

    async def claim_cleanups(self, *, worker: str, limit: int, lease: timedelta) -> list[ClaimedCleanup]:  # noqa: ARG002
        """Claims due cleanups, oldest first. Only the attempt number identifies the holder, so `worker` is unused."""
        deadline = time.monotonic() + (lease - self._call_margin).total_seconds()
        async with self._database.transaction() as tx:
            rows = await cleanups.claim(tx, limit, lease)
            places = await cleanups.places(tx, [row.evaluation_id for row in rows]) if rows else {}
        return [_claimed(row, places.get(row.evaluation_id), deadline) for row in rows]

    async def finish_cleanups(self, outcomes: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        """Writes the outcomes of attempts, and the events of those that are over, in one transaction.

        Locks the evaluations, as for each of their events: readers ignore an event with a lower sequence number than
        the last one, so two transactions must not number events of one evaluation at the same time.
        """
        ends = [(row, o) for row, o in outcomes if isinstance(o, Cleaned)]
        async with self._database.transaction() as tx:
            _, held = await evaluations.try_lock(tx, [row.evaluation_id for row, _ in ends])
            back = [_put_back(row, o) for row, o in outcomes if isinstance(o, RetryCleanup)]
            back += [_put_back_held(row, o) for row, o in ends if row.evaluation_id in held]
            over = {row.id: (row, o) for row, o in ends if row.evaluation_id not in held}
            if back:
                await cleanups.put_back(tx, sorted(back, key=lambda r: r.id))
            if over:
                endings = [_ending(row, o) for row, o in over.values()]
                ended = await cleanups.end(tx, sorted(endings, key=lambda r: r.id))
                messages = [self._events.artifacts_cleaned(e, _event(e, over[e.id][1])) for e in ended]
                await outbox.add(tx, messages)
        self._on_ended()


def _claimed(row: ClaimedCleanupRow, place: ArtifactPlace | None, deadline: float) -> ClaimedCleanup:
    return ClaimedCleanup(
        id=row.id,
        evaluation_id=row.evaluation_id,
        team_id=row.team_id,
        attempt=row.attempt,
        errors=row.errors,
        bucket=place.bucket if place else None,
        prefix=place.prefix if place else None,
        request_key=place.request_key if place else None,
        report=CleanupReport() if row.report is None else _REPORT.validate_json(row.report),
        deadline_at=row.deadline_at,
        deadline=deadline,
    )


def _put_back(row: ClaimedCleanup, outcome: RetryCleanup) -> CleanupPutBack:
    is_error = outcome.code != _CONTINUED
    return CleanupPutBack(
        id=row.id,
        attempt=row.attempt,
        pause=timedelta(seconds=outcome.retry_in),
        code=outcome.code if is_error else None,
        text=outcome.detail if is_error else None,
        report=_dump(outcome.report),
    )


def _put_back_held(row: ClaimedCleanup, outcome: Cleaned) -> CleanupPutBack:
    """Another session holds the evaluation's row: the next attempt, in a moment, will find nothing left to delete."""
    report = _dump(outcome.report)
    return CleanupPutBack(id=row.id, attempt=row.attempt, pause=_HELD_PAUSE, code=None, text=None, report=report)


def _ending(row: ClaimedCleanup, outcome: Cleaned) -> CleanupEnding:
    return CleanupEnding(id=row.id, attempt=row.attempt, state=outcome.state, report=_dump(outcome.report))


def _dump(report: CleanupReport) -> str:
    return orjson.dumps(report).decode()


def _event(ended: EndedCleanup, outcome: Cleaned) -> EvaluationArtifactsCleaned:
    report = outcome.report
    return EvaluationArtifactsCleaned(
        evaluation_id=ended.evaluation_id,
        cancellation_id=ended.id,
        team_id=ended.team_id,
        state=outcome.state,
        deleted_count=report.deleted_count,
        kept_count=report.kept_count,
        failed_count=report.failed_count,
        deleted_bytes=report.deleted_bytes,
        kept=tuple(KeptArtifact(key=k.key, why=k.why) for k in report.kept),
        failed_codes=dict(report.failed_codes),
        aborted_uploads=report.aborted_uploads,
        versions_retained=report.versions_retained,
        finished_at=ended.finished_at,
    )
