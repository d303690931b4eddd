"""Brings a database to this version's schema, checks that it is there, or prints the SQL for somebody else to run.

The revisions are in `versions/`; the functions and triggers on the evaluations table, made anew each time from the
mapping, in `evaluations.py`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from consumer.migrations.evaluations import EvaluationsTable, evaluations_sql
from consumer.migrations.reader_role import CREATE, GRANTS, READER_ROLE

VERSION_TABLE: Final[dict[str, Any]] = {
    "version_table": "schema_version",
    "version_table_schema": "evaluation_cancel",
}
_CREATE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS evaluation_cancel"
# Two replicas may be started at once: the second waits, and then finds nothing to do.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7226403512)"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _engine(dsn: str) -> AsyncEngine:
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))


async def upgrade(dsn: str, mapping: EvaluationsTable | None = None) -> None:
    """Brings the schema to the newest revision and makes the functions and triggers of the evaluations table anew.

    All in one transaction: it is there as a whole or not at all. Safe to run beside running consumers of this version.
    """
    engine = _engine(dsn)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, mapping or EvaluationsTable())
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, mapping: EvaluationsTable) -> None:
    connection.execute(text(_ONE_AT_A_TIME))
    connection.execute(text(_CREATE_SCHEMA))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    for statement in evaluations_sql(mapping):
        connection.exec_driver_sql(statement)


async def make_role(dsn: str) -> None:
    """Makes the HTTP endpoint's role and gives it its rights. Raises the driver's error when that is not allowed."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", READER_ROLE):
                await connection.execute(CREATE)
            for grant in GRANTS:
                await connection.execute(grant)
    finally:
        await connection.close()


async def check(dsn: str) -> str | None:
    """What is wrong with the schema of this database, in words, or None when it is this version's."""
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    engine = _engine(dsn)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(
                lambda c: MigrationContext.configure(c, opts=VERSION_TABLE).get_current_revision()
            )
    finally:
        await engine.dispose()
    if found == wanted:
        return None
    return f"the database is at revision {found or 'none'}, this version needs {wanted}: run `migrate upgrade`"


def sql(mapping: EvaluationsTable | None = None) -> str:
    """Everything `upgrade` would run on an empty database, as one script."""
    out = io.StringIO()
    config = _config()
    config.output_buffer = out
    command.upgrade(config, "head", sql=True)
    functions = ";\n".join(s.strip() for s in evaluations_sql(mapping or EvaluationsTable()))
    return f"{_CREATE_SCHEMA};\n{out.getvalue()}\nBEGIN;\n{functions};\nCOMMIT;\n"
