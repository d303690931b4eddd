"""The fixture `postgres_env`: a database with evaluations, and the parts of the consumer that need nothing else."""

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
from evaluation_cancel.consumer.intake.decide import Batch, Decide, Decided
from evaluation_cancel.consumer.intake.eager_claims import EagerClaims, SlotSupplier
from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from tests.support.consumer.commands import EVENTS

LEASE = timedelta(seconds=30)


class PostgresEnv:
    """What a test does to Postgres, from our side and from that of other services (`admin`)."""

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
            ended=lambda: None,
        )

    def supply_slots(self, supplier: SlotSupplier | None) -> None:
        """Decisions claim new cancellations eagerly as far as the supplier has slots."""
        self.eager_claims = EagerClaims(
            worker="here", lease=timedelta(seconds=60), call_margin=timedelta(seconds=5), supplier=supplier
        )
        self.decide = Decide(self.database, EVENTS, self.eager_claims)

    async def evaluation(
        self, status: str = "running", *, team: str = "blue", cluster: str = "c1", uid: str | None = "uid-1"
    ) -> UUID:
        """A new evaluation, brought to its status by the functions that an orchestrator calls."""
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
        holes = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
        row = await self.admin.fetchrow(f"SELECT * FROM evaluation_cancel.{function}({holes})", *arguments)
        assert row is not None
        return row["done"], row["answer"]

    async def send(self, *commands: ReceivedCommand) -> Decided:
        """As intake hands a batch over."""
        return await self.decide.record(Batch(commands=commands))

    async def claim(self, *, clusters: Sequence[str] = ("c1",), limit: int = 100) -> list[ClaimedCancellation]:
        return await self.store.claim_cancellations(clusters=clusters, worker="w", limit=limit, lease=LEASE)

    async def end(self, *rows: ClaimedCancellation, job: str = "uid-1") -> None:
        await self.store.finish_cancellations([(row, Gone(evidence=TeardownEvidence(job=job))) for row in rows])

    async def cancelled(self, command: ReceivedCommand) -> None:
        """The whole way of one cancellation, with a Job that is gone at once."""
        await self.send(command)
        await self.end(*await self.claim())

    async def status(self, evaluation: UUID) -> str:
        status: str = await self.admin.fetchval(
            "SELECT status FROM evaluation_cancel.evaluations WHERE id = $1", evaluation
        )
        return status

    async def row(self, table: str, where: str = "true", *arguments: object) -> Mapping[str, Any]:
        row = await self.admin.fetchrow(f"SELECT * FROM evaluation_cancel.{table} WHERE {where}", *arguments)
        assert row is not None
        return row

    async def count(self, table: str, where: str = "true") -> int:
        count: int = await self.admin.fetchval(f"SELECT count(*) FROM evaluation_cancel.{table} WHERE {where}")
        return count

    async def count_is(self, table: str, count: int, where: str = "true") -> bool:
        return await self.count(table, where) == count

    async def types(self, evaluation: UUID) -> list[str]:
        """The types of its messages in the order of their sequence."""
        rows = await self.admin.fetch(
            "SELECT type FROM evaluation_cancel.messages WHERE evaluation_id = $1 ORDER BY id", evaluation
        )
        return [row["type"] for row in rows]


async def raise_at(postgres_env: PostgresEnv, evaluation: UUID) -> None:
    """A trigger on the evaluations, of the team whose table it may be, that raises for one row."""
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
    pool = await open_pool(
        dsn,
        max_size=5,
        statement_timeout_ms=5000,
        lock_timeout_ms=1000,
        statement_cache_size=100,
        application_name="test",
    )
    admin = await asyncpg.connect(dsn)
    try:
        yield PostgresEnv(dsn, Database(pool), admin)
    finally:
        await admin.close()
        pool.terminate()


@pytest.fixture
async def postgres_env(database: str) -> AsyncIterator[PostgresEnv]:
    """A migrated database of the test's own."""
    async with open_postgres_env(database) as opened:
        yield opened
