"""Checks whether a database has the schema revision that this version needs.

The service's readiness check uses it, so it does not import Alembic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg

from evaluation_cancel.consumer.migrations.connection import connect
from evaluation_cancel.schemas.postgres.login import PostgresLogin

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = Any

NEWEST: Final = "0002"
"""The last revision of `versions/`."""
VERSION_TABLE: Final[dict[str, Any]] = {
    "version_table": "schema_version",
    "version_table_schema": "evaluation_cancel",
}
_FOUND = "SELECT version_num FROM evaluation_cancel.schema_version"


async def problem(connection: Connection) -> str | None:
    """Describe the difference between the database's revision and this version's. None: there is none."""
    try:
        found = await connection.fetchval(_FOUND)
    except asyncpg.UndefinedTableError:
        found = None
    if found == NEWEST:
        return None
    return f"the database is at revision {found or 'none'}, this version needs {NEWEST}: run `migrate upgrade`"


async def check(login: PostgresLogin) -> str | None:
    """Connect to the database and return the result of `problem`. Raises the driver's error."""
    connection = await connect(login)
    try:
        return await problem(connection)
    finally:
        await connection.close()
