"""A pool whose sessions lead to the wrong server, or whose password has changed, goes on by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.processes.process import workspace
from deploy.local.services.postgres import PostgresServer, postgres
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.sql.session import SessionSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.environment import unique
from tests.support.waiting import until

SESSION = SessionSettings(application_name="test", statement_timeout_ms=5000, lock_timeout_ms=1000)
WRITE = "INSERT INTO public.written VALUES (1)"


@asynccontextmanager
async def opened(login: PostgresLogin) -> AsyncIterator[Database]:
    pool = await open_pool(login, max_size=4, statement_cache_size=100, session=SESSION)
    yield Database(pool)
    pool.terminate()


async def write(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(WRITE)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    """A server of its own, since its settings are changed."""
    async with workspace() as work, postgres(work) as started:
        yield started


async def test_sessions_on_a_demoted_primary_are_given_up_and_new_ones_can_write(server: PostgresServer) -> None:
    dsn = await server.create_database("demoted")
    admin = await asyncpg.connect(dsn)
    await admin.execute("CREATE TABLE public.written (x int)")
    async with opened(PostgresLogin.at(dsn)) as database:
        for _ in range(2):
            await write(database)
        # Open sessions are read-only from now on, new ones are not: as behind a name that leads to the new primary.
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute("ALTER DATABASE demoted SET default_transaction_read_only = off")
        try:
            with pytest.raises(TemporaryError, match="25006"):
                await until(lambda: write(database), "the change has reached the open session")
            for _ in range(20):
                await write(database)
        finally:
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
    await admin.close()


async def test_a_rotated_password_is_an_outage_until_the_file_has_it(database: str, tmp_path: Path) -> None:
    role, password = unique("rotated").replace("-", "_"), tmp_path / "password"
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'one'")
    password.write_text("one")
    place = urlsplit(database)
    dsn = place._replace(netloc=f"{role}@{place.hostname}:{place.port}").geturl()
    async with opened(PostgresLogin(dsn=PostgresLogin.at(dsn).dsn, password_file=password)) as used:
        async with used.connection() as tx:
            assert await tx.fetchval("SELECT 1") == 1
        await admin.execute(f"ALTER ROLE {role} PASSWORD 'two'")
        await used.renew()
        with pytest.raises(TemporaryError, match=r"postgres_login_refused: .*28P01") as raised:
            async with used.connection():
                pass
        assert "one" not in str(raised.value)
        password.write_text("two")
        async with used.connection() as tx:
            assert await tx.fetchval("SELECT 1") == 1
        password.unlink()
        await used.renew()
        with pytest.raises(TemporaryError, match=r"postgres_unavailable: .*password cannot be read"):
            async with used.connection():
                pass
    await admin.execute(f"DROP ROLE {role}")
    await admin.close()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FROM nowhere.nothing", "postgres_schema_missing"),
        ("SELECT nothing()", "postgres_schema_missing"),
        ("SELECT nothing FROM pg_class", "postgres_schema_missing"),
        ("SET ROLE pg_monitor; SELECT * FROM pg_authid", "postgres_rights_missing"),
    ],
)
async def test_what_an_operator_has_to_mend_is_tried_again(database: str, statement: str, code: str) -> None:
    async with opened(PostgresLogin.at(database)) as used:
        with pytest.raises(TemporaryError) as raised:
            async with used.transaction() as tx:
                await tx.execute(statement)
        assert raised.value.code == code


async def test_a_database_that_does_not_exist_is_told_as_that(environment: Stack) -> None:
    async with opened(PostgresLogin.at(environment.postgres.dsn("no-such-database"))) as used:
        with pytest.raises(TemporaryError, match="postgres_database_missing"):
            async with used.connection():
                pass
