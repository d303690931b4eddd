"""Upgrades a database to this version's schema, or prints the SQL.

The revisions are in `versions/`. `evaluations.py` generates the functions and triggers, which every upgrade replaces.
`version.py` checks whether a database has this version's schema.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.migrations.connection import connect
from evaluation_cancel.consumer.migrations.evaluations import evaluations_sql
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable
from evaluation_cancel.consumer.migrations.table_check import table_problems
from evaluation_cancel.schemas.postgres.login import PostgresLogin

_CREATE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS evaluation_cancel"
# Of two replicas that upgrade at the same time, the second waits and then finds nothing to do.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7226403512)"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(login: PostgresLogin, mapping: EvaluationsTable | None = None) -> Sequence[str]:
    """Run the missing revisions and replace the functions and triggers of the evaluations table, in one transaction.

    Safe while consumers of this version run. Returns sentences on words of the status that the mapping
    gives no meaning. Raises the driver's error, and `Refusal` for a table that the functions cannot be made for.
    """
    mapping = mapping or EvaluationsTable()
    unmapped = await _unmapped_words(login, mapping)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(login))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, mapping)
    except DBAPIError as error:
        raise error.driver_exception from error
    finally:
        await engine.dispose()
    return unmapped


async def _unmapped_words(login: PostgresLogin, mapping: EvaluationsTable) -> Sequence[str]:
    connection = await connect(login)
    try:
        found = await table_problems(connection, mapping)
    finally:
        await connection.close()
    if found.unfit:
        raise Refusal("evaluations_table_unfit", "\n  ".join(["EVALUATIONS_TABLE does not fit:", *found.unfit]))
    return found.unmapped


def _upgrade(connection: Connection, mapping: EvaluationsTable) -> None:
    connection.execute(text(_ONE_AT_A_TIME))
    connection.execute(text(_CREATE_SCHEMA))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    for statement in evaluations_sql(mapping):
        connection.exec_driver_sql(statement)


def sql(mapping: EvaluationsTable | None = None) -> str:
    """The statements of `upgrade` on an empty database, as one script."""
    out = io.StringIO()
    config = _config()
    config.output_buffer = out
    command.upgrade(config, "head", sql=True)
    functions = ";\n".join(s.strip() for s in evaluations_sql(mapping or EvaluationsTable()))
    return f"{_CREATE_SCHEMA};\n{out.getvalue()}\nBEGIN;\n{functions};\nCOMMIT;\n"
