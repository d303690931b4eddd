from __future__ import annotations

import asyncio

import asyncpg

from evaluation_cancel.consumer.migrations import schema, version
from evaluation_cancel.schemas.postgres.login import PostgresLogin

SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'evaluation_cancel' ORDER BY 1, 2
"""
FUNCTIONS = """
SELECT p.proname, md5(p.prosrc) FROM pg_proc p WHERE p.pronamespace = 'evaluation_cancel'::regnamespace ORDER BY 1
"""


async def shape(dsn: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    rows = [tuple(r) for r in [*await connection.fetch(SHAPE), *await connection.fetch(FUNCTIONS)]]
    await connection.close()
    return rows


async def test_the_check_describes_an_empty_database_and_accepts_an_upgraded_one(
    empty_database: str,
) -> None:
    assert "run `migrate upgrade`" in (await version.check(PostgresLogin.at(empty_database)) or "")
    await schema.upgrade(PostgresLogin.at(empty_database))
    assert await version.check(PostgresLogin.at(empty_database)) is None


async def test_upgrading_again_changes_nothing(database: str) -> None:
    before = await shape(database)
    await schema.upgrade(PostgresLogin.at(database))
    assert await shape(database) == before


async def test_replicas_that_upgrade_at_the_same_time_wait_for_each_other(empty_database: str) -> None:
    await asyncio.gather(*(schema.upgrade(PostgresLogin.at(empty_database)) for _ in range(4)))
    assert await version.check(PostgresLogin.at(empty_database)) is None


async def test_the_printed_sql_creates_the_same_schema(database: str, empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(schema.sql())
    await connection.close()
    assert await shape(empty_database) == await shape(database)
    assert await version.check(PostgresLogin.at(empty_database)) is None
