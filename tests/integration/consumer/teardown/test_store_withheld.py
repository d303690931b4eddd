"""Ends that cannot be written: the evaluation's row is held by somebody's session, or there is none any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.cancellations import Failed, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import LEASE, Ledger

NOTHING = TeardownEvidence()


@asynccontextmanager
async def held_by_somebody(ledger: Ledger, evaluation: UUID) -> AsyncIterator[None]:
    holder = await asyncpg.connect(ledger.dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", evaluation)
        yield
    await holder.close()


async def due(ledger: Ledger) -> None:
    await ledger.admin.execute("UPDATE evaluation_cancel.cancellations SET next_attempt_at = now()")


async def vanish(ledger: Ledger, evaluation: UUID) -> None:
    """As by TRUNCATE or a dropped partition, which no row trigger sees."""
    table = "evaluation_cancel.evaluations"
    await ledger.admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await ledger.admin.execute(f"DELETE FROM {table} WHERE id = $1", evaluation)
    await ledger.admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_a_locked_evaluation_delays_its_own_end_only(ledger: Ledger) -> None:
    locked, free = await ledger.evaluation(), await ledger.evaluation()
    await ledger.send(command(locked), command(free))
    rows = await ledger.claim()
    async with held_by_somebody(ledger, locked):
        await ledger.end(*rows)
        assert (await ledger.status(locked), await ledger.status(free)) == ("running", "cancelled")
    await due(ledger)
    await ledger.end(*await ledger.claim())
    assert await ledger.status(locked) == "cancelled"


async def test_a_failure_that_meets_a_lock_can_still_fail_later(ledger: Ledger) -> None:
    """Its own attempt's intent is taken back and its patience is not begun anew: it is as certain as before."""
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation))
    [row] = await ledger.claim()
    await ledger.store.record_intents([(row.id, row.attempt)])
    since = await ledger.admin.fetchval(
        "UPDATE evaluation_cancel.cancellations SET refused_since = now() - interval '1 hour' RETURNING refused_since"
    )
    failed = Failed(evidence=NOTHING, code="rbac_denied", detail="no")
    async with held_by_somebody(ledger, evaluation):
        await ledger.store.finish_cancellations([(row, failed)])
    await due(ledger)
    [row] = await ledger.claim()
    assert (row.intent_at, row.refused_since) == (None, since)
    await ledger.store.finish_cancellations([(row, failed)])
    assert await ledger.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelFailed"]


async def test_an_evaluation_that_has_vanished_is_looked_at_ever_more_rarely(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation("created")
    await ledger.send(command(evaluation))
    await vanish(ledger, evaluation)
    for errors in range(8):
        [row] = await ledger.claim()
        assert row.errors == errors
        await ledger.end(row)
        await due(ledger)
    await ledger.admin.execute("UPDATE evaluation_cancel.cancellations SET errors = 1000")
    await ledger.end(*await ledger.claim())
    stored = await ledger.row("cancellations", "next_attempt_at > now() + interval '10 seconds'")
    assert (stored["ended_at"], stored["last_error_code"]) == (None, "evaluation_missing")


async def test_an_operator_may_resolve_what_has_lost_its_evaluation(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation))
    await vanish(ledger, evaluation)
    said = Resolution(outcome="cancelled", operator="olga", reason="the table was restored from a backup")
    await resolve(ledger.database, EVENTS, evaluation, said, cleanup_deadline=LEASE)
    assert await ledger.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelled"]
    with pytest.raises(Refusal, match="not_found"):
        await resolve(ledger.database, EVENTS, evaluation, said, cleanup_deadline=LEASE)
