"""Which schema this version of the service needs, and whether a database is at it.

Asked by the service whenever somebody wants to know whether it is ready, so that nothing of Alembic is loaded for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg

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
    """What is wrong with the schema of this database, in words, or None when it is this version's."""
    try:
        found = await connection.fetchval(_FOUND)
    except asyncpg.UndefinedTableError:
        found = None
    if found == NEWEST:
        return None
    return f"the database is at revision {found or 'none'}, this version needs {NEWEST}: run `migrate upgrade`"


async def check(dsn: str) -> str | None:
    """The same, of a database to which nobody has a connection yet."""
    connection = await asyncpg.connect(dsn)
    try:
        return await problem(connection)
    finally:
        await connection.close()
