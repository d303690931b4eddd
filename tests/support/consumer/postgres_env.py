"""The fixture `postgres_env`: a database, and the parts of the consumer that need only Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Gone, TeardownEvidence
from evaluation_cancel.consumer.domain.commands import ReceivedCommand
from evaluation_cancel.consumer.intake.decide import Batch, Decided, DecisionService
from evaluation_cancel.consumer.intake.eager_claims import EagerClaims, SlotSupplier
from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.sql.session import SessionSettings
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.consumer.commands import EVENTS

LEASE = timedelta(seconds=30)
_OPEN_MANY = """
INSERT INTO evaluation_cancel.cancellations (id, evaluation_id, team_id, command_source, command_id, actor_kind,
    actor_id, status_before, cluster, accepted_at, next_attempt_at)
SELECT gen_random_uuid(), gen_random_uuid(), $1, 's', n::text, 'user', 'u', 'running', $3, now() - $4::interval,
    now() - $4::interval FROM generate_series(1, $2) n
"""


class PostgresEnv:
    """Steps on Postgres, as the service takes them, or other services (through `admin`)."""

    def __init__(self, dsn: str, database: Database, admin: asyncpg.Connection[asyncpg.Record]) -> None:
        self.dsn = dsn
        self.database = database
        self.admin = admin
        self.supply_slots(None)
        self.store = PostgresCancellationStore(
            database,
            EVENTS,
            call_margin=timedelta(seconds=5),
            cleanup_deadline=timedelta(hours=1),
            on_ended=lambda: None,
        )

    def supply_slots(self, supplier: SlotSupplier | None) -> None:
        """Decisions claim new cancellations eagerly as far as the supplier has slots."""
        self.eager_claims = EagerClaims(
            worker="here", lease=timedelta(seconds=60), call_margin=timedelta(seconds=5), supplier=supplier
        )
        self.decide = DecisionService(self.database, EVENTS, self.eager_claims)

    async def evaluation(
        self, status: str = "running", *, team: str = "blue", cluster: str = "c1", uid: str | None = "uid-1"
    ) -> UUID:
        """Create an evaluation and bring it to `status` with the functions that an orchestrator calls."""
        identity = uuid4()
        await self.call("register", identity, team, "bucket", f"evals/{identity}/", f"evals/{identity}/request.json")
        if status != "created":
            await self.call("starting", identity, cluster, "ns", f"job-{identity}")
            if uid is not None:
                await self.call("attach_job", identity, uid)
        if status not in {"created", "starting"}:
            await self.call("report", identity, "running")
        if status in {"succeeded", "failed"}:
            await self.call("report", identity, status)
        return identity

    async def call(self, function: str, *arguments: object) -> tuple[bool, str]:
        """Call one of the orchestrator's functions. Returns its `done` and `answer`."""
        holes = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
        row = await self.admin.fetchrow(f"SELECT * FROM evaluation_cancel.{function}({holes})", *arguments)
        assert row is not None
        return row["done"], row["answer"]

    async def send(self, *commands: ReceivedCommand) -> Decided:
        """Record one batch of commands, as intake does."""
        return await self.decide.record(Batch(commands=commands))

    async def claim(self, *, clusters: Sequence[str] = ("c1",), limit: int = 100) -> list[ClaimedCancellation]:
        return await self.store.claim_cancellations(clusters=clusters, worker="w", limit=limit, lease=LEASE)

    async def end(self, *rows: ClaimedCancellation, job: str = "uid-1") -> None:
        await self.store.finish_cancellations([(row, Gone(evidence=TeardownEvidence(job=job))) for row in rows])

    async def cancelled(self, command: ReceivedCommand) -> None:
        """Send a command, claim its cancellation and end it as cancelled."""
        await self.send(command)
        await self.end(*await self.claim())

    async def status(self, evaluation: UUID) -> str:
        status: str = await self.admin.fetchval(
            "SELECT status FROM evaluation_cancel.evaluations WHERE id = $1", evaluation
        )
        return status

    async def row(self, table: str, where: str = "true", *arguments: object) -> Mapping[str, Any]:
        """The first row that matches. One must exist."""
        row = await self.admin.fetchrow(f"SELECT * FROM evaluation_cancel.{table} WHERE {where}", *arguments)
        assert row is not None
        return row

    async def count(self, table: str, where: str = "true") -> int:
        count: int = await self.admin.fetchval(f"SELECT count(*) FROM evaluation_cancel.{table} WHERE {where}")
        return count

    async def count_is(self, table: str, count: int, where: str = "true") -> bool:
        return await self.count(table, where) == count

    async def types(self, evaluation: UUID) -> list[str]:
        """The types of an evaluation's messages, in order."""
        rows = await self.admin.fetch(
            "SELECT type FROM evaluation_cancel.messages WHERE evaluation_id = $1 ORDER BY id", evaluation
        )
        return [row["type"] for row in rows]


async def open_many(postgres_env: PostgresEnv, team: str, count: int, *, cluster: str = "c1", age: int = 0) -> None:
    """Insert `count` open cancellations of a team, due since `age` seconds."""
    await postgres_env.admin.execute(_OPEN_MANY, team, count, cluster, timedelta(seconds=age))


async def raise_at(postgres_env: PostgresEnv, evaluation: UUID) -> None:
    """Create a trigger on the evaluations, as their owner might, that raises for one of them."""
    await postgres_env.admin.execute(
        f"""
        CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id = '{evaluation}' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW;
        END $$
        """
    )
    await postgres_env.admin.execute(
        "CREATE TRIGGER theirs BEFORE UPDATE ON evaluation_cancel.evaluations"
        " FOR EACH ROW EXECUTE FUNCTION public.theirs()"
    )


@asynccontextmanager
async def open_postgres_env(dsn: str) -> AsyncIterator[PostgresEnv]:
    """A second environment on the same database acts as a second consumer."""
    pool = await open_pool(
        PostgresLogin.at(dsn),
        max_size=5,
        statement_cache_size=100,
        session=SessionSettings(application_name="test", statement_timeout_ms=5000, lock_timeout_ms=1000),
    )
    admin = await asyncpg.connect(dsn)
    try:
        yield PostgresEnv(dsn, Database(pool), admin)
    finally:
        await admin.close()
        pool.terminate()


@pytest.fixture
async def postgres_env(database: str) -> AsyncIterator[PostgresEnv]:
    """A migrated database of one test."""
    async with open_postgres_env(database) as opened:
        yield opened
