"""The endpoint's login can read two views, and do nothing else to anything."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.local.processes.process import workspace
from deploy.local.services.postgres import postgres
from deploy.local.stand.endpoint import reader_dsn
from evaluation_cancel.consumer.migrations import schema, version
from evaluation_cancel.consumer.migrations.reader_role import READER_ROLE, VIEWS, make_role, role_sql
from evaluation_cancel.schemas.postgres.login import PostgresLogin


@pytest.fixture
async def reader(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(await reader_dsn(database))
    yield connection
    await connection.close()


async def test_it_reads_the_views(reader: asyncpg.Connection) -> None:
    for view in VIEWS:
        assert await reader.fetch(f"SELECT * FROM evaluation_cancel.{view}") == []


async def test_it_can_touch_no_table_and_no_other_view(database: str, reader: asyncpg.Connection) -> None:
    owner = await asyncpg.connect(database)
    relations = await owner.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'evaluation_cancel' AND c.relkind IN ('r', 'v', 'm', 'p', 'S')"
    )
    await owner.close()
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    allowed = [
        (row["relname"], right)
        for row in relations
        for right in rights
        if await reader.fetchval("SELECT has_table_privilege($1, $2)", f'evaluation_cancel."{row["relname"]}"', right)
    ]
    assert len(relations) > 8
    assert sorted(allowed) == [(view, "SELECT") for view in sorted(VIEWS)]


async def test_what_a_function_may_be_called_for_it_may_not_do(reader: asyncpg.Connection) -> None:
    nobody = "'11111111-2222-4333-8444-555555555555'::uuid"
    for call in (
        f"register({nobody}, 't', 'b', 'p/', 'r')",
        f"starting({nobody}, 'c', 'n', 'j')",
        f"report({nobody}, 'succeeded')",
        f"attach_job({nobody}, 'uid')",
        f"read_evaluations(ARRAY[{nobody}])",
        f"lock_evaluations(ARRAY[{nobody}])",
        f"cancel_evaluations(ARRAY[{nobody}], now())",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"SELECT * FROM evaluation_cancel.{call}")


async def test_it_can_make_nothing(reader: asyncpg.Connection) -> None:
    for statement in ("CREATE TABLE evaluation_cancel.x ()", "CREATE TABLE public.x ()", "CREATE ROLE another"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)


async def test_who_may_not_make_roles_can_upgrade_and_the_role_is_made_later() -> None:
    async with workspace() as work, postgres(work) as server:
        owners = await server.create_database("given")
        owner = await asyncpg.connect(owners)
        await owner.execute("CREATE ROLE upgrader LOGIN PASSWORD 'x' NOCREATEROLE")
        await owner.execute("GRANT CREATE ON DATABASE given TO upgrader")
        await schema.upgrade(PostgresLogin.at(f"postgresql://upgrader:x@{owners.rpartition('@')[2]}"))
        assert await version.check(PostgresLogin.at(owners)) is None
        assert not await owner.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", READER_ROLE)
        await make_role(PostgresLogin.at(owners))
        reader = await asyncpg.connect(await reader_dsn(owners))
        assert await reader.fetch("SELECT * FROM evaluation_cancel.command_answers") == []
        await reader.close()
        # The printed statements are those: run by hand, they give the same.
        await owner.execute(f"DROP OWNED BY {READER_ROLE}")
        await owner.execute(role_sql().partition(";")[2])
        reader = await asyncpg.connect(await reader_dsn(owners))
        assert await reader.fetch("SELECT * FROM evaluation_cancel.cancellation_progress") == []
        await reader.close()
        await owner.close()


async def test_several_databases_of_one_server_can_be_upgraded_at_once(empty_database: str) -> None:
    await asyncio.gather(*(schema.upgrade(PostgresLogin.at(empty_database)) for _ in range(3)))
    await make_role(PostgresLogin.at(empty_database))
