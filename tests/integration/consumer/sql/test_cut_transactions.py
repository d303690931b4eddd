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
from evaluation_cancel.consumer.domain.commands import Position, ReceivedCommand
from evaluation_cancel.consumer.intake.decide import Batch, DecisionService
from evaluation_cancel.consumer.intake.loop import Intake
from evaluation_cancel.consumer.runtime.batching import BatchCompleter
from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.sql.session import SessionSettings
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import PostgresEnv
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


async def recorded(postgres_env: PostgresEnv, *batch: ReceivedCommand) -> None:
    """As intake records a batch: again and again until it is done."""
    intake = Intake(
        reader=cast("Any", None),
        decide=postgres_env.decide,
        events=EVENTS,
        every_team_sources=frozenset(),
        accept_bare=True,
        on_decided=lambda _decided, _records: None,
        wait_for_capacity=postgres_env.eager_claims.wait_for_capacity,
    )
    assert await intake._until_recorded(Batch(commands=batch, next_offsets=[Position("commands", 0, 7)])) is not None


async def finished(postgres_env: PostgresEnv, rows: Sequence[ClaimedCancellation]) -> None:
    """As the teardown writes outcomes: again and again until it is done."""
    finisher: BatchCompleter[ClaimedCancellation, Outcome] = BatchCompleter(
        postgres_env.store.finish_cancellations, lambda _batch: None, instead=cast("Any", None), table="cancellations"
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


async def everything_once(postgres_env: PostgresEnv, *types: str) -> None:
    assert [await postgres_env.count(table) for table in ("commands", "cancellations")] == [1, 1]
    assert (await postgres_env.row("offsets"))["next_offset"] == 7
    queued = await postgres_env.admin.fetch(
        "SELECT m.type FROM evaluation_cancel.outbox o JOIN evaluation_cancel.messages m ON m.id = o.message_id"
        " ORDER BY o.id"
    )
    assert [row["type"] for row in queued] == list(types)


@pytest.mark.parametrize("where", DECIDING)
async def test_an_administrator_ends_the_session_while_it_decides(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    evaluation = await postgres_env.evaluation()
    calls = first_time(monkeypatch, where, lambda: postgres_env.admin.execute(ADMIN_KILLS))
    await recorded(postgres_env, command(evaluation))
    assert len(calls) == 2
    await everything_once(postgres_env, "EvaluationCancelAccepted")


@pytest.mark.parametrize("where", FINISHING)
async def test_an_administrator_ends_the_session_while_it_finishes(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    evaluation = await postgres_env.evaluation()
    await recorded(postgres_env, command(evaluation))
    rows = await postgres_env.claim()
    calls = first_time(monkeypatch, where, lambda: postgres_env.admin.execute(ADMIN_KILLS))
    await finished(postgres_env, rows)
    assert len(calls) == 2
    assert await postgres_env.status(evaluation) == "cancelled"
    await everything_once(postgres_env, "EvaluationCancelAccepted", "EvaluationCancelled")


@asynccontextmanager
async def impatient(postgres_env: PostgresEnv, *, idle: float = 60, lock: float = 60) -> AsyncIterator[PostgresEnv]:
    """The same database, through a pool whose sessions wait so many seconds at most."""
    pool = await open_pool(
        PostgresLogin.at(postgres_env.dsn),
        max_size=3,
        statement_cache_size=100,
        session=SessionSettings(
            application_name="impatient", statement_timeout_ms=int(idle * 1000), lock_timeout_ms=int(lock * 1000)
        ),
    )
    postgres_env.database = Database(pool)
    postgres_env.decide = DecisionService(postgres_env.database, EVENTS, postgres_env.eager_claims)
    postgres_env.store = PostgresCancellationStore(
        postgres_env.database,
        EVENTS,
        call_margin=postgres_env.store._call_margin,
        cleanup_deadline=postgres_env.store._cleanup_deadline,
        on_ended=lambda: None,
    )
    try:
        yield postgres_env
    finally:
        pool.terminate()


@pytest.mark.parametrize("where", ["commands.known", "evaluations.touch", "commands.save_offsets"])
async def test_a_process_that_stalled_in_a_transaction_finds_it_ended_and_decides_again(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As one that was stopped: `idle_in_transaction_session_timeout` gives its locks back to the others."""
    evaluation = await postgres_env.evaluation()

    async def until_ended() -> None:
        await until(nobody_is_connected, "its session was ended")
        assert await postgres_env.admin.fetchval(
            "SELECT id FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE NOWAIT", evaluation
        )

    async def nobody_is_connected() -> bool:
        query = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'impatient'"
        return bool(await postgres_env.admin.fetchval(query))

    calls = first_time(monkeypatch, where, until_ended)
    async with impatient(postgres_env, idle=0.3):
        await recorded(postgres_env, command(evaluation))
    assert len(calls) == 2
    await everything_once(postgres_env, "EvaluationCancelAccepted")


async def make_deadlock(postgres_env: PostgresEnv, ours: Awaitable[None], first: str, second: str) -> None:
    """Another session takes what `ours` will wait for, and then waits for what `ours` has; ours is the one to fall."""
    stranger = await asyncpg.connect(postgres_env.dsn)
    await stranger.execute("SET deadlock_timeout = '1h'")
    before = await deadlocks(postgres_env)
    async with stranger.transaction():
        await stranger.execute(first)
        running = asyncio.ensure_future(ours)
        await until(lambda: we_wait(postgres_env), "we wait for the stranger")
        await stranger.execute(second)
    await stranger.close()
    await running
    await until(lambda: deadlocks_are_more(postgres_env, before), "Postgres has counted a deadlock")


async def we_wait(postgres_env: PostgresEnv) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'impatient' AND wait_event_type = 'Lock'"
    return bool(await postgres_env.admin.fetchval(query))


async def deadlocks(postgres_env: PostgresEnv) -> int:
    await postgres_env.admin.execute("SELECT pg_stat_clear_snapshot()")
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(await postgres_env.admin.fetchval(query))


async def deadlocks_are_more(postgres_env: PostgresEnv, before: int) -> bool:
    return await deadlocks(postgres_env) > before


LOCK_CANCELLATIONS = "UPDATE evaluation_cancel.cancellations SET team_id = team_id"
LOCK_EVALUATIONS = "UPDATE evaluation_cancel.evaluations SET team_id = team_id"


async def test_a_decision_that_falls_to_a_deadlock_is_made_again(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await recorded(postgres_env, command(evaluation))
    async with impatient(postgres_env):
        await make_deadlock(
            postgres_env, recorded(postgres_env, command(evaluation)), LOCK_CANCELLATIONS, LOCK_EVALUATIONS
        )
    assert await postgres_env.count("commands", "decision = 'joined'") == 1
    assert (await postgres_env.row("cancellations"))["joined"] == 1


async def test_an_end_that_falls_to_a_deadlock_is_written_again(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await recorded(postgres_env, command(evaluation))
    rows = await postgres_env.claim()
    async with impatient(postgres_env):
        await make_deadlock(postgres_env, finished(postgres_env, rows), LOCK_CANCELLATIONS, LOCK_EVALUATIONS)
    assert await postgres_env.status(evaluation) == "cancelled"
    await everything_once(postgres_env, "EvaluationCancelAccepted", "EvaluationCancelled")


async def test_a_session_of_a_cancelled_task_is_clean_for_the_next_one(postgres_env: PostgresEnv) -> None:
    """The pool sends no reset between two users of a session: neither transaction nor lock may outlive the first."""
    evaluation = await postgres_env.evaluation()
    locked = asyncio.Event()

    async def holds() -> None:
        async with postgres_env.database.transaction() as tx:
            await tx.execute(f"{LOCK_EVALUATIONS} WHERE id = $1", evaluation)
            locked.set()
            await tx.execute("SELECT pg_sleep(3600)")

    for _ in range(3):
        locked.clear()
        task = asyncio.create_task(holds())
        await locked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with postgres_env.database.connection() as tx:
            assert await tx.fetchval("SELECT txid_current_if_assigned()") is None, "no transaction is open"
        await postgres_env.admin.execute(
            "SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE NOWAIT", evaluation
        )
