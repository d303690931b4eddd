"""A transaction that Postgres ends for us, at every statement of it: repeated until it is done, and done once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Gone, Outcome, TeardownEvidence
from evaluation_cancel.consumer.domain.commands import ReceivedCommand
from evaluation_cancel.consumer.intake.decide import Batch, Decide
from evaluation_cancel.consumer.intake.loop import Intake
from evaluation_cancel.consumer.runtime.batching import Finisher
from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.teardown.store import TeardownStore
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import Ledger
from tests.support.waiting import until

DECIDING = (
    "commands.database_time",
    "evaluations.lock",
    "evaluations.fences",
    "commands.known",
    "commands.insert",
    "cancellations.open_new",
    "evaluations.touch",
    "outbox.add",
    "commands.save_offsets",
)
FINISHING = ("evaluations.lock", "cancellations.end", "evaluations.cancel", "outbox.add")
ADMIN_KILLS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"
Statement = Callable[..., Awaitable[Any]]


async def recorded(ledger: Ledger, *batch: ReceivedCommand) -> None:
    """As intake records a batch: again and again until it is done."""
    intake = Intake(
        reader=cast("Any", None),
        decide=ledger.decide,
        events=EVENTS,
        every_team_sources=frozenset(),
        accept_bare=True,
        decided=lambda _decided, _records: None,
        roomy=ledger.handover.roomy,
    )
    assert await intake._until_recorded(Batch(commands=batch, next_offsets=[("commands", 0, 7)])) is not None


async def finished(ledger: Ledger, rows: Sequence[ClaimedCancellation]) -> None:
    """As the teardown writes outcomes: again and again until it is done."""
    finisher: Finisher[ClaimedCancellation, Outcome] = Finisher(
        ledger.store.finish_cancellations, lambda _batch: None, instead=cast("Any", None), what="cancellations"
    )
    for row in rows:
        finisher.put(row, Gone(evidence=TeardownEvidence(job="uid-1")))
    await finisher.drain()


def first_time(monkeypatch: pytest.MonkeyPatch, where: str, happens: Callable[[], Awaitable[object]]) -> list[str]:
    """Lets something happen just before the first call of a function of the store; gives the calls it saw."""
    module_name, name = where.split(".")
    module = importlib.import_module(f"evaluation_cancel.consumer.sql.{module_name}")
    statement: Statement = getattr(module, name)
    calls: list[str] = []

    async def instead(*arguments: Any) -> Any:
        calls.append(where)
        if len(calls) == 1:
            await happens()
        return await statement(*arguments)

    monkeypatch.setattr(module, name, instead)
    return calls


async def everything_once(ledger: Ledger, *types: str) -> None:
    assert [await ledger.count(table) for table in ("commands", "cancellations")] == [1, 1]
    assert (await ledger.row("offsets"))["next_offset"] == 7
    queued = await ledger.admin.fetch(
        "SELECT m.type FROM evaluation_cancel.outbox o JOIN evaluation_cancel.messages m ON m.id = o.message_id"
        " ORDER BY o.id"
    )
    assert [row["type"] for row in queued] == list(types)


@pytest.mark.parametrize("where", DECIDING)
async def test_an_administrator_ends_the_session_while_it_decides(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    evaluation = await ledger.evaluation()
    calls = first_time(monkeypatch, where, lambda: ledger.admin.execute(ADMIN_KILLS))
    await recorded(ledger, command(evaluation))
    assert len(calls) == 2
    await everything_once(ledger, "EvaluationCancelAccepted")


@pytest.mark.parametrize("where", FINISHING)
async def test_an_administrator_ends_the_session_while_it_finishes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    evaluation = await ledger.evaluation()
    await recorded(ledger, command(evaluation))
    rows = await ledger.claim()
    calls = first_time(monkeypatch, where, lambda: ledger.admin.execute(ADMIN_KILLS))
    await finished(ledger, rows)
    assert len(calls) == 2
    assert await ledger.status(evaluation) == "cancelled"
    await everything_once(ledger, "EvaluationCancelAccepted", "EvaluationCancelled")


@asynccontextmanager
async def impatient(ledger: Ledger, *, idle: float = 60, lock: float = 60) -> AsyncIterator[Ledger]:
    """The same database, through a pool whose sessions wait so many seconds at most."""
    pool = await open_pool(
        ledger.dsn,
        max_size=3,
        statement_timeout_ms=int(idle * 1000),
        lock_timeout_ms=int(lock * 1000),
        statement_cache_size=100,
        application_name="impatient",
    )
    ledger.database = Database(pool)
    ledger.decide = Decide(ledger.database, EVENTS, ledger.handover)
    ledger.store = TeardownStore(
        ledger.database,
        EVENTS,
        call_margin=ledger.store._call_margin,
        cleanup_deadline=ledger.store._cleanup_deadline,
        ended=lambda: None,
    )
    try:
        yield ledger
    finally:
        pool.terminate()


@pytest.mark.parametrize("where", ["commands.known", "evaluations.touch", "commands.save_offsets"])
async def test_a_process_that_stood_still_in_a_transaction_finds_it_ended_and_decides_anew(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As one that was stopped: `idle_in_transaction_session_timeout` gives its locks back to the others."""
    evaluation = await ledger.evaluation()

    async def until_ended() -> None:
        await until(nobody_is_connected, "its session was ended")
        assert await ledger.admin.fetchval(
            "SELECT id FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE NOWAIT", evaluation
        )

    async def nobody_is_connected() -> bool:
        query = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'impatient'"
        return bool(await ledger.admin.fetchval(query))

    calls = first_time(monkeypatch, where, until_ended)
    async with impatient(ledger, idle=0.3):
        await recorded(ledger, command(evaluation))
    assert len(calls) == 2
    await everything_once(ledger, "EvaluationCancelAccepted")


async def make_deadlock(ledger: Ledger, ours: Awaitable[None], first: str, second: str) -> None:
    """Another session takes what `ours` will wait for, and then waits for what `ours` has; ours is the one to fall."""
    stranger = await asyncpg.connect(ledger.dsn)
    await stranger.execute("SET deadlock_timeout = '1h'")
    before = await deadlocks(ledger)
    async with stranger.transaction():
        await stranger.execute(first)
        running = asyncio.ensure_future(ours)
        await until(lambda: we_wait(ledger), "we wait for the stranger")
        await stranger.execute(second)
    await stranger.close()
    await running
    await until(lambda: deadlocks_are_more(ledger, before), "Postgres has counted a deadlock")


async def we_wait(ledger: Ledger) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'impatient' AND wait_event_type = 'Lock'"
    return bool(await ledger.admin.fetchval(query))


async def deadlocks(ledger: Ledger) -> int:
    await ledger.admin.execute("SELECT pg_stat_clear_snapshot()")
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(await ledger.admin.fetchval(query))


async def deadlocks_are_more(ledger: Ledger, before: int) -> bool:
    return await deadlocks(ledger) > before


LOCK_CANCELLATIONS = "UPDATE evaluation_cancel.cancellations SET team_id = team_id"
LOCK_EVALUATIONS = "UPDATE evaluation_cancel.evaluations SET team_id = team_id"


async def test_a_decision_that_falls_to_a_deadlock_is_made_again(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await recorded(ledger, command(evaluation))
    async with impatient(ledger):
        await make_deadlock(ledger, recorded(ledger, command(evaluation)), LOCK_CANCELLATIONS, LOCK_EVALUATIONS)
    assert await ledger.count("commands", "decision = 'joined'") == 1
    assert (await ledger.row("cancellations"))["joined"] == 1


async def test_an_end_that_falls_to_a_deadlock_is_written_again(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await recorded(ledger, command(evaluation))
    rows = await ledger.claim()
    async with impatient(ledger):
        await make_deadlock(ledger, finished(ledger, rows), LOCK_CANCELLATIONS, LOCK_EVALUATIONS)
    assert await ledger.status(evaluation) == "cancelled"
    await everything_once(ledger, "EvaluationCancelAccepted", "EvaluationCancelled")


async def test_what_a_cancelled_task_left_in_its_session_is_gone_for_the_next_one(ledger: Ledger) -> None:
    """The pool sends no reset between two users of a session: neither transaction nor lock may outlive the first."""
    evaluation = await ledger.evaluation()
    locked = asyncio.Event()

    async def holds() -> None:
        async with ledger.database.transaction() as tx:
            await tx.execute(f"{LOCK_EVALUATIONS} WHERE id = $1", evaluation)
            locked.set()
            await tx.execute("SELECT pg_sleep(3600)")

    for _ in range(3):
        locked.clear()
        task = asyncio.create_task(holds())
        await locked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with ledger.database.connection() as tx:
            assert await tx.fetchval("SELECT txid_current_if_assigned()") is None, "no transaction is open"
        await ledger.admin.execute(
            "SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE NOWAIT", evaluation
        )
