"""The role with which the HTTP endpoint reads: two views, and nothing else of the database.

A role belongs to the server and not to a database, and whoever upgrades may not be allowed to make roles: then the
upgrade goes on without, and these statements are run later by somebody who may (`migrate role`, or its `--sql`).
The role cannot log in. Logins are made by the operator: `CREATE ROLE console LOGIN PASSWORD '…' IN ROLE
evaluation_cancel_reader`.
"""

from typing import Final

import asyncpg

READER_ROLE: Final = "evaluation_cancel_reader"
VIEWS: Final = ("command_answers", "cancellation_progress")

CREATE: Final = f"CREATE ROLE {READER_ROLE} NOLOGIN"
GRANTS: Final = (
    f"GRANT USAGE ON SCHEMA evaluation_cancel TO {READER_ROLE}",
    *(f"GRANT SELECT ON evaluation_cancel.{view} TO {READER_ROLE}" for view in VIEWS),
)

# For the upgrade. Another database of the same server may be making the role at this very moment.
IF_ALLOWED: Final = f"""
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{READER_ROLE}') THEN
        BEGIN
            {CREATE};
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'no right to create the role {READER_ROLE}: run `migrate role` as somebody who has it';
                RETURN;
        END;
    END IF;
    {"; ".join(GRANTS)};
END $role$
"""


def role_sql() -> str:
    """As a script for a person."""
    return ";\n".join((CREATE, *GRANTS)) + ";\n"


async def make_role(dsn: str) -> None:
    """Makes the role and gives it its rights. Raises the driver's error when that is not allowed."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", READER_ROLE):
                await connection.execute(CREATE)
            for grant in GRANTS:
                await connection.execute(grant)
    finally:
        await connection.close()
