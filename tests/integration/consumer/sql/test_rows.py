from __future__ import annotations

from dataclasses import dataclass

import pytest

from evaluation_cancel.consumer.sql.database import fetch_as, row_count
from tests.support.consumer.postgres_env import PostgresEnv


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    first: int
    second: str | None


async def test_a_row_becomes_the_value_with_its_columns(postgres_env: PostgresEnv) -> None:
    async with postgres_env.database.connection() as tx:
        pairs = await fetch_as(Pair, tx, "SELECT n AS first, NULL AS second FROM generate_series(1, $1::int) n", 2)
    assert pairs == [Pair(first=1, second=None), Pair(first=2, second=None)]


@pytest.mark.parametrize(
    "columns", ["1 AS first", "1 AS first, 'a' AS secnod", "1 AS first, 'a' AS second, 2 AS third"]
)
async def test_columns_other_than_the_fields_are_an_error_at_once(postgres_env: PostgresEnv, columns: str) -> None:
    with pytest.raises(TypeError):
        async with postgres_env.database.connection() as tx:
            await fetch_as(Pair, tx, f"SELECT {columns}")


async def test_the_status_of_a_statement_holds_how_many_rows_it_wrote(postgres_env: PostgresEnv) -> None:
    async with postgres_env.database.transaction() as tx:
        assert row_count(await tx.execute("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT generate_series(1, 12)")) == 12
        assert row_count(await tx.execute("DELETE FROM t WHERE false")) == 0
