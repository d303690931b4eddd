"""Says all that is missing in a database: the schema's revision, the evaluations table, its guards, logins' rights."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation_cancel.consumer.migrations import version
from evaluation_cancel.consumer.migrations.connection import connect
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable
from evaluation_cancel.consumer.migrations.table_check import guard_problems, right_problems, table_problems
from evaluation_cancel.schemas.postgres.login import PostgresLogin


async def problems(login: PostgresLogin, mapping: EvaluationsTable, logins: Sequence[str] = ()) -> list[str]:
    """Each in a sentence; none: all is there. `logins` are those of consumers. Raises the driver's error."""
    connection = await connect(login)
    try:
        revision = await version.problem(connection)
        found = [revision] if revision is not None else []
        table = await table_problems(connection, mapping)
        found += [*table.unfit, *table.unmapped]
        if revision is not None or table.unfit:
            return found
        return [
            *found,
            *await guard_problems(connection, mapping),
            *await right_problems(connection, mapping, logins),
        ]
    finally:
        await connection.close()
