"""Behind a real PgBouncer in transaction mode, which refuses startup parameters and keeps no prepared statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.processes.plain_http import plain_client
from deploy.local.processes.process import workspace
from deploy.local.services.pgbouncer import PgBouncer, pgbouncer, pgbouncer_program
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.app import service
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.consumer.sql.connect import database as open_database
from evaluation_cancel.producer.endpoint.store import StoreAccess, open_store
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv

PROGRAM = pgbouncer_program()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (Debian: pgbouncer)")


@pytest.fixture(scope="module")
async def pooler(environment: Stack) -> AsyncIterator[PgBouncer]:
    async with workspace() as work, pgbouncer(work, PROGRAM or "", environment.postgres.dsn("postgres")) as started:
        yield started


def settings(pooler: PgBouncer, database: str, **changes: Any) -> ConsumerSettings:
    name = database.rpartition("/")[2]
    given: dict[str, Any] = {"postgres_startup_parameters": False, "postgres_statement_cache_size": 0} | changes
    return ConsumerSettings(
        postgres_dsn=SecretStr(pooler.dsn(name)), http_host="127.0.0.1", http_port=0, worker="pooled", **given
    )


@asynccontextmanager
async def pooled(pooler: PgBouncer, database: str) -> AsyncIterator[PostgresEnv]:
    """The parts of the consumer on the pooler; only the test's own statements reach the server directly."""
    admin = await asyncpg.connect(database)
    async with open_database(settings(pooler, database)) as opened:
        yield PostgresEnv(database, opened, admin)
    await admin.close()


async def test_a_cancellation_is_decided_claimed_and_ended(pooler: PgBouncer, database: str) -> None:
    async with pooled(pooler, database) as env:
        evaluations = [await env.evaluation() for _ in range(5)]
        for evaluation in evaluations:
            await env.cancelled(command(evaluation))
        assert [await env.status(each) for each in evaluations] == ["cancelled"] * 5
        assert await env.types(evaluations[0]) == ["EvaluationCancelAccepted", "EvaluationCancelled"]


async def test_the_time_limits_hold_in_each_transaction(pooler: PgBouncer, database: str) -> None:
    async with pooled(pooler, database) as env:
        for _ in range(3):
            async with env.database.transaction() as tx:
                assert await tx.fetchval("SHOW statement_timeout") == "10s"
                assert await tx.fetchval("SHOW search_path") == "pg_catalog"
        async with env.database.connection() as tx:
            assert await tx.fetchval("SHOW enable_seqscan") == "off"


async def test_the_service_is_ready(pooler: PgBouncer, database: str) -> None:
    async with (
        service(settings(pooler, database), ["reconcile"]) as (_, port),
        plain_client(f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_without_the_setting_the_refusal_is_told(pooler: PgBouncer, database: str) -> None:
    wrong = settings(pooler, database, postgres_startup_parameters=True)
    async with open_database(wrong) as opened:
        with pytest.raises(TemporaryError, match="unsupported startup parameter"):
            async with opened.connection():
                pass


async def test_the_endpoint_reads_through_it(pooler: PgBouncer, database: str) -> None:
    access = StoreAccess(
        login=PostgresLogin.at(pooler.dsn(database.rpartition("/")[2])),
        pool_size=2,
        timeout=3.0,
        statement_cache_size=0,
        startup_parameters=False,
    )
    store = await open_store(access)
    for _ in range(3):
        await store.ping()
        assert await store.answers("s", ["x"]) == {}
    await store.close()
