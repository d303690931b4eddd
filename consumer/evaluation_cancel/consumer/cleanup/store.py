"""What Postgres holds of a cleanup: its claim, and its end together with the event that tells of it.

Implements the store that `loop.py` asks for; the SQL is in `sql/cleanups.py`. A crash before the end is
recorded leaves the row claimed until its lease ends; deleting what is gone already is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from evaluation_cancel.consumer.domain.cleanups import (
    ClaimedCleanup,
    Cleaned,
    CleanupOutcome,
    CleanupReport,
    RetryCleanup,
)
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.sql import cleanups, evaluations, outbox
from evaluation_cancel.consumer.sql.cleanups import CleanupEnding, CleanupPutBack
from evaluation_cancel.consumer.sql.database import Database, Row
from evaluation_cancel.schemas.events import EvaluationArtifactsCleaned, KeptArtifact

_REPORT: Final = TypeAdapter(CleanupReport)
_CONTINUED: Final = "continued"
_HELD_PAUSE: Final = timedelta(seconds=1)


class PostgresCleanupStore:
    """Claims and outcomes, each a batch. `call_margin` is how long a remote call may last at most."""

    def __init__(
        self, database: Database, events: OutcomeEvents, *, call_margin: timedelta, ended: Callable[[], None]
    ) -> None:
        """`ended` is called after outcomes were recorded: there is something to publish."""
        self._database = database
        self._events = events
        self._call_margin = call_margin
        self._ended = ended

    async def claim_cleanups(self, *, worker: str, limit: int, lease: timedelta) -> list[ClaimedCleanup]:  # noqa: ARG002
        """Due cleanups, oldest first. Who holds one is told by its attempt number alone."""
        deadline = time.monotonic() + (lease - self._call_margin).total_seconds()
        async with self._database.transaction() as tx:
            rows = await cleanups.claim(tx, limit, lease)
            places = await cleanups.places(tx, [r["evaluation_id"] for r in rows]) if rows else {}
        return [_claimed(row, places.get(row["evaluation_id"], {}), deadline) for row in rows]

    async def finish_cleanups(self, outcomes: Sequence[tuple[ClaimedCleanup, CleanupOutcome]]) -> None:
        """Records what came of each attempt; the event is in the outbox with it.

        The evaluation is locked as for every other event of it: readers take no event whose sequence is lower than
        the last one's, so that two transactions must not number events of one evaluation at the same time.
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
                await outbox.add(tx, [self._events.artifacts_cleaned(e, _event(e, over[e["id"]][1])) for e in ended])
        self._ended()


def _claimed(row: Row, place: Row, deadline: float) -> ClaimedCleanup:
    return ClaimedCleanup(
        id=row["id"],
        evaluation_id=row["evaluation_id"],
        team_id=row["team_id"],
        attempt=row["cleanup_attempts"],
        errors=row["cleanup_errors"],
        bucket=place.get("bucket"),
        prefix=place.get("prefix"),
        request_key=place.get("request_key"),
        report=CleanupReport() if row["cleanup_report"] is None else _REPORT.validate_json(row["cleanup_report"]),
        deadline_at=row["cleanup_deadline_at"],
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
    """Somebody else's session holds the evaluation's row: another look in a moment finds nothing left to delete."""
    report = _dump(outcome.report)
    return CleanupPutBack(id=row.id, attempt=row.attempt, pause=_HELD_PAUSE, code=None, text=None, report=report)


def _ending(row: ClaimedCleanup, outcome: Cleaned) -> CleanupEnding:
    return CleanupEnding(id=row.id, attempt=row.attempt, state=outcome.state, report=_dump(outcome.report))


def _dump(report: CleanupReport) -> str:
    return orjson.dumps(report).decode()


def _event(row: Mapping[str, Any], outcome: Cleaned) -> EvaluationArtifactsCleaned:
    report = outcome.report
    identity: UUID = row["id"]
    state: Literal["done", "partial"] = outcome.state
    return EvaluationArtifactsCleaned(
        evaluation_id=row["evaluation_id"],
        cancellation_id=identity,
        team_id=row["team_id"],
        state=state,
        deleted_count=report.deleted_count,
        kept_count=report.kept_count,
        failed_count=report.failed_count,
        deleted_bytes=report.deleted_bytes,
        kept=tuple(KeptArtifact(key=k.key, why=k.why) for k in report.kept),
        failed_codes=dict(report.failed_codes),
        aborted_uploads=report.aborted_uploads,
        versions_retained=report.versions_retained,
        finished_at=row["finished_at"],
    )
