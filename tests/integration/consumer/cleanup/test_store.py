"""What Postgres holds of a cleanup: claimed after its cancellation's end, ended once, told in order."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson

from evaluation_cancel.consumer.cleanup.store import PostgresCleanupStore
from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup, Cleaned, CleanupReport, KeptObject, RetryCleanup
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import LEASE, PostgresEnv

DONE = Cleaned(state="done", report=CleanupReport(deleted_count=3, deleted_bytes=30))


def records(postgres_env: PostgresEnv) -> PostgresCleanupStore:
    return PostgresCleanupStore(postgres_env.database, EVENTS, call_margin=timedelta(seconds=5), on_ended=lambda: None)


async def claim(postgres_env: PostgresEnv) -> list[ClaimedCleanup]:
    return await records(postgres_env).claim_cleanups(worker="w", limit=10, lease=LEASE)


async def cancelled(postgres_env: PostgresEnv) -> UUID:
    """An evaluation that was cancelled with a wish for cleanup."""
    evaluation = await postgres_env.evaluation()
    await postgres_env.cancelled(command(evaluation, cleanup=True))
    return evaluation


async def due(postgres_env: PostgresEnv) -> None:
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET cleanup_next_at = now()")


async def test_a_cleanup_is_claimed_after_the_end_and_published_with_its_report(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation, cleanup=True))
    assert await claim(postgres_env) == []
    await postgres_env.end(*await postgres_env.claim())
    [row] = await claim(postgres_env)
    assert (row.evaluation_id, row.bucket, row.prefix) == (evaluation, "bucket", f"evals/{evaluation}/")
    report = CleanupReport(deleted_count=2, kept_count=1, kept=(KeptObject(key="k", why="request_file"),))
    await records(postgres_env).finish_cleanups([(row, Cleaned(state="done", report=report))])
    assert await postgres_env.types(evaluation) == [
        "EvaluationCancelAccepted",
        "EvaluationCancelled",
        "EvaluationArtifactsCleaned",
    ]
    event = orjson.loads((await postgres_env.row("messages", "type = 'EvaluationArtifactsCleaned'"))["value"])
    assert (event["state"], event["deleted_count"], event["kept"]) == ("done", 2, [{"key": "k", "why": "request_file"}])
    assert await claim(postgres_env) == []


async def test_an_attempt_that_is_no_longer_the_newest_ends_nothing(postgres_env: PostgresEnv) -> None:
    evaluation = await cancelled(postgres_env)
    [stale] = await claim(postgres_env)
    await due(postgres_env)
    [newer] = await claim(postgres_env)
    await records(postgres_env).finish_cleanups([(stale, DONE)])
    assert len(await postgres_env.types(evaluation)) == 2
    await records(postgres_env).finish_cleanups([(newer, DONE)])
    await records(postgres_env).finish_cleanups([(newer, DONE)])
    assert len(await postgres_env.types(evaluation)) == 3


async def test_a_continued_cleanup_keeps_its_counts_and_is_no_error(postgres_env: PostgresEnv) -> None:
    await cancelled(postgres_env)
    [row] = await claim(postgres_env)
    so_far = CleanupReport(deleted_count=7)
    again = RetryCleanup(report=so_far, code="continued", detail="the lease was used up", retry_in=0)
    await records(postgres_env).finish_cleanups([(row, again)])
    [row] = await claim(postgres_env)
    assert (row.errors, row.report.deleted_count) == (0, 7)
    down = RetryCleanup(report=so_far, code="unreachable", detail="down", retry_in=0)
    await records(postgres_env).finish_cleanups([(row, down)])
    [row] = await claim(postgres_env)
    assert row.errors == 1


async def test_its_event_is_numbered_only_while_no_other_of_that_evaluation_can_be(postgres_env: PostgresEnv) -> None:
    """Else one with a lower sequence could be published after one with a higher, and readers would pass it over."""
    held, free = await cancelled(postgres_env), await cancelled(postgres_env)
    rows = await claim(postgres_env)
    decides = await asyncpg.connect(postgres_env.dsn)
    async with decides.transaction():
        await decides.execute("SELECT evaluation_cancel.lock_evaluations($1)", [held])
        await records(postgres_env).finish_cleanups([(row, DONE) for row in rows])
        assert [len(await postgres_env.types(evaluation)) for evaluation in (held, free)] == [2, 3]
    await decides.close()
    await due(postgres_env)
    [row] = await claim(postgres_env)
    assert (row.evaluation_id, row.report.deleted_count) == (held, 3)
    await records(postgres_env).finish_cleanups([(row, DONE)])
    assert len(await postgres_env.types(held)) == 3


async def test_a_cleanup_ends_although_its_evaluation_no_longer_exists(postgres_env: PostgresEnv) -> None:
    evaluation = await cancelled(postgres_env)
    [row] = await claim(postgres_env)
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.evaluations")
    await records(postgres_env).finish_cleanups([(row, DONE)])
    assert len(await postgres_env.types(evaluation)) == 3
