"""Ends that cannot be written: the evaluation's row is held by somebody's session, or there is none any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.cancellations import Failed, Gone, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import LEASE, PostgresEnv

NOTHING = TeardownEvidence()


@asynccontextmanager
async def held_by_somebody(postgres_env: PostgresEnv, evaluation: UUID) -> AsyncIterator[None]:
    holder = await asyncpg.connect(postgres_env.dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", evaluation)
        yield
    await holder.close()


async def due(postgres_env: PostgresEnv) -> None:
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET next_attempt_at = now()")


async def vanish(postgres_env: PostgresEnv, evaluation: UUID) -> None:
    """As by TRUNCATE or a dropped partition, which no row trigger sees."""
    table = "evaluation_cancel.evaluations"
    await postgres_env.admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await postgres_env.admin.execute(f"DELETE FROM {table} WHERE id = $1", evaluation)
    await postgres_env.admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_a_locked_evaluation_delays_its_own_end_only(postgres_env: PostgresEnv) -> None:
    locked, free = await postgres_env.evaluation(), await postgres_env.evaluation()
    await postgres_env.send(command(locked), command(free))
    rows = await postgres_env.claim()
    async with held_by_somebody(postgres_env, locked):
        await postgres_env.end(*rows)
        assert (await postgres_env.status(locked), await postgres_env.status(free)) == ("running", "cancelled")
    await due(postgres_env)
    await postgres_env.end(*await postgres_env.claim())
    assert await postgres_env.status(locked) == "cancelled"


async def test_a_failure_that_meets_a_lock_can_still_fail_later(postgres_env: PostgresEnv) -> None:
    """Its own attempt's intent is taken back and its patience is not begun anew: it is as certain as before."""
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    [row] = await postgres_env.claim()
    await postgres_env.store.record_intents([row])
    since = await postgres_env.admin.fetchval(
        "UPDATE evaluation_cancel.cancellations SET refused_since = now() - interval '1 hour' RETURNING refused_since"
    )
    failed = Failed(evidence=NOTHING, code="rbac_denied", detail="no")
    async with held_by_somebody(postgres_env, evaluation):
        await postgres_env.store.finish_cancellations([(row, failed)])
    await due(postgres_env)
    [row] = await postgres_env.claim()
    assert (row.intent_at, row.refused_since) == (None, since)
    await postgres_env.store.finish_cancellations([(row, failed)])
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelFailed"]


async def test_an_evaluation_that_no_longer_exists_is_tried_at_growing_intervals(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("created")
    await postgres_env.send(command(evaluation))
    await vanish(postgres_env, evaluation)
    for errors in range(8):
        [row] = await postgres_env.claim()
        assert row.errors == errors
        await postgres_env.end(row)
        await due(postgres_env)
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET errors = 1000")
    await postgres_env.end(*await postgres_env.claim())
    stored = await postgres_env.row("cancellations", "next_attempt_at > now() + interval '10 seconds'")
    assert (stored["ended_at"], stored["last_error_code"]) == (None, "evaluation_missing")


async def test_an_end_without_its_evaluation_is_retried_by_the_configured_rules(postgres_env: PostgresEnv) -> None:
    store = PostgresCancellationStore(
        postgres_env.database,
        EVENTS,
        call_margin=timedelta(seconds=5),
        cleanup_deadline=timedelta(hours=1),
        on_ended=lambda: None,
        rules=TeardownRules(backoff_base=7200, backoff_cap=7200),
    )
    evaluation = await postgres_env.evaluation("created")
    await postgres_env.send(command(evaluation))
    await vanish(postgres_env, evaluation)
    [row] = await postgres_env.claim()
    await store.finish_cancellations([(row, Gone(evidence=NOTHING))])
    assert await postgres_env.count("cancellations", "next_attempt_at > now() + interval '5 minutes'") == 1


async def test_an_operator_may_resolve_a_cancellation_whose_evaluation_no_longer_exists(
    postgres_env: PostgresEnv,
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await vanish(postgres_env, evaluation)
    said = Resolution(outcome="cancelled", operator="olga", reason="the table was restored from a backup")
    await resolve(postgres_env.database, EVENTS, evaluation, said, cleanup_deadline=LEASE)
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelled"]
    with pytest.raises(Refusal, match="not_found"):
        await resolve(postgres_env.database, EVENTS, evaluation, said, cleanup_deadline=LEASE)
