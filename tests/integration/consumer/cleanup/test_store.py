"""What Postgres holds of a cleanup: claimed after its cancellation's end, ended once, told in order."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson

from evaluation_cancel.consumer.cleanup.store import CleanupRecords
from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup, Cleaned, CleanupReport, KeptObject, RetryCleanup
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import LEASE, Ledger

DONE = Cleaned(state="done", report=CleanupReport(deleted_count=3, deleted_bytes=30))


def records(ledger: Ledger) -> CleanupRecords:
    return CleanupRecords(ledger.database, EVENTS, call_margin=timedelta(seconds=5), ended=lambda: None)


async def claim(ledger: Ledger) -> list[ClaimedCleanup]:
    return await records(ledger).claim_cleanups(worker="w", limit=10, lease=LEASE)


async def cancelled(ledger: Ledger) -> UUID:
    """An evaluation that was cancelled with a wish for cleanup."""
    evaluation = await ledger.evaluation()
    await ledger.cancelled(command(evaluation, cleanup=True))
    return evaluation


async def due(ledger: Ledger) -> None:
    await ledger.admin.execute("UPDATE evaluation_cancel.cancellations SET cleanup_next_at = now()")


async def test_a_cleanup_is_claimed_after_the_end_and_told_with_what_became_of_it(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation, cleanup=True))
    assert await claim(ledger) == []
    await ledger.end(*await ledger.claim())
    [row] = await claim(ledger)
    assert (row.evaluation_id, row.bucket, row.prefix) == (evaluation, "bucket", f"evals/{evaluation}/")
    report = CleanupReport(deleted_count=2, kept_count=1, kept=(KeptObject(key="k", why="request_file"),))
    await records(ledger).finish_cleanups([(row, Cleaned(state="done", report=report))])
    assert await ledger.types(evaluation) == [
        "EvaluationCancelAccepted",
        "EvaluationCancelled",
        "EvaluationArtifactsCleaned",
    ]
    event = orjson.loads((await ledger.row("messages", "type = 'EvaluationArtifactsCleaned'"))["value"])
    assert (event["state"], event["deleted_count"], event["kept"]) == ("done", 2, [{"key": "k", "why": "request_file"}])
    assert await claim(ledger) == []


async def test_an_attempt_that_is_no_longer_the_newest_ends_nothing(ledger: Ledger) -> None:
    evaluation = await cancelled(ledger)
    [stale] = await claim(ledger)
    await due(ledger)
    [newer] = await claim(ledger)
    await records(ledger).finish_cleanups([(stale, DONE)])
    assert len(await ledger.types(evaluation)) == 2
    await records(ledger).finish_cleanups([(newer, DONE)])
    await records(ledger).finish_cleanups([(newer, DONE)])
    assert len(await ledger.types(evaluation)) == 3


async def test_one_that_is_gone_on_with_keeps_its_counts_and_is_no_error(ledger: Ledger) -> None:
    await cancelled(ledger)
    [row] = await claim(ledger)
    so_far = CleanupReport(deleted_count=7)
    again = RetryCleanup(report=so_far, code="continued", detail="the lease was used up", retry_in=0)
    await records(ledger).finish_cleanups([(row, again)])
    [row] = await claim(ledger)
    assert (row.errors, row.report.deleted_count) == (0, 7)
    down = RetryCleanup(report=so_far, code="unreachable", detail="down", retry_in=0)
    await records(ledger).finish_cleanups([(row, down)])
    [row] = await claim(ledger)
    assert row.errors == 1


async def test_its_event_is_numbered_only_while_no_other_of_that_evaluation_can_be(ledger: Ledger) -> None:
    """Else one with a lower sequence could be published after one with a higher, and readers would pass it over."""
    held, free = await cancelled(ledger), await cancelled(ledger)
    rows = await claim(ledger)
    decides = await asyncpg.connect(ledger.dsn)
    async with decides.transaction():
        await decides.execute("SELECT evaluation_cancel.lock_evaluations($1)", [held])
        await records(ledger).finish_cleanups([(row, DONE) for row in rows])
        assert [len(await ledger.types(evaluation)) for evaluation in (held, free)] == [2, 3]
    await decides.close()
    await due(ledger)
    [row] = await claim(ledger)
    assert (row.evaluation_id, row.report.deleted_count) == (held, 3)
    await records(ledger).finish_cleanups([(row, DONE)])
    assert len(await ledger.types(held)) == 3


async def test_an_evaluation_that_is_no_longer_there_keeps_no_cleanup_from_ending(ledger: Ledger) -> None:
    evaluation = await cancelled(ledger)
    [row] = await claim(ledger)
    await ledger.admin.execute("DELETE FROM evaluation_cancel.evaluations")
    await records(ledger).finish_cleanups([(row, DONE)])
    assert len(await ledger.types(evaluation)) == 3
