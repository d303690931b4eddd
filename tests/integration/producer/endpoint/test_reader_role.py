"""The endpoint's login can read two views, and do nothing else to anything."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from consumer import migrations
from consumer.migrations.reader_role import VIEWS, role_sql
from deploy.local.endpoint import reader_dsn


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


async def test_who_may_not_make_roles_can_upgrade_and_gets_the_statements_for_later(empty_database: str) -> None:
    owner = await asyncpg.connect(empty_database)
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"CREATE ROLE upgrader_{name.replace('-', '_')} LOGIN PASSWORD 'x' NOCREATEROLE")
    await owner.execute(f'GRANT CREATE ON DATABASE "{name}" TO upgrader_{name.replace("-", "_")}')
    host = empty_database.rpartition("@")[2]
    # Where the role is there already, its rights are given by the views' owner; where it is not, nothing fails.
    await migrations.upgrade(f"postgresql://upgrader_{name.replace('-', '_')}:x@{host}")
    assert await migrations.check(empty_database) is None
    await owner.close()
    await migrations.make_role(empty_database)
    assert "CREATE ROLE evaluation_cancel_reader NOLOGIN" in role_sql()
    reader = await asyncpg.connect(await reader_dsn(empty_database))
    assert await reader.fetch("SELECT * FROM evaluation_cancel.command_answers") == []
    await reader.close()


async def test_several_databases_of_one_server_can_be_upgraded_at_once(empty_database: str) -> None:
    await asyncio.gather(*(migrations.upgrade(empty_database) for _ in range(3)))
    await migrations.make_role(empty_database)
