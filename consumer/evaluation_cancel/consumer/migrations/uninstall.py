"""Takes the service out of a database again: its guards and functions, and the record only when told to."""

from __future__ import annotations

from typing import Final

from evaluation_cancel.consumer.migrations.connection import connect
from evaluation_cancel.consumer.migrations.guards import GUARD_NAMES
from evaluation_cancel.schemas.postgres.login import PostgresLogin

OPEN: Final = "SELECT count(*) FROM evaluation_cancel.cancellations WHERE ended_at IS NULL"
GUARDED: Final = """
SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
WHERE tgname = ANY ($1) AND tgparentid = 0
"""
FUNCTIONS: Final = """
SELECT format('DROP FUNCTION %s', oid::regprocedure) FROM pg_proc
WHERE pronamespace = to_regnamespace('evaluation_cancel')
"""
RECORD: Final = "DROP SCHEMA IF EXISTS evaluation_cancel CASCADE"


async def open_cancellations(login: PostgresLogin) -> int:
    """How many cancellations are open. Raises the driver's error."""
    connection = await connect(login)
    try:
        return int(await connection.fetchval(OPEN))
    finally:
        await connection.close()


async def uninstall(login: PostgresLogin, *, with_record: bool) -> list[str]:
    """Drop guards and functions, and `with_record` the whole schema; in one transaction. Returns what was run.

    The schema holds the service's own table of evaluations too, if that is in use. Raises the driver's error.
    """
    connection = await connect(login)
    try:
        async with connection.transaction():
            statements = [row[0] for row in await connection.fetch(GUARDED, list(GUARD_NAMES))]
            statements += [row[0] for row in await connection.fetch(FUNCTIONS)]
            statements += [RECORD] if with_record else []
            for statement in statements:
                await connection.execute(statement)
            return statements
    finally:
        await connection.close()
