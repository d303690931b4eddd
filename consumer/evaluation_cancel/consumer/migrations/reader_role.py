"""Creates the role of the HTTP endpoint, which can read two views and nothing else of the database.

A role belongs to the whole server, and the login that upgrades may lack the right to create roles. Then the upgrade
goes on without the role, and another login runs these statements later: `migrate role`, or the output of its `--sql`.
The role cannot log in. Operators create logins: `CREATE ROLE console LOGIN PASSWORD '…' IN ROLE
evaluation_cancel_reader`.
"""

from typing import Final

from evaluation_cancel.consumer.migrations.connection import connect
from evaluation_cancel.schemas.postgres.login import PostgresLogin

READER_ROLE: Final = "evaluation_cancel_reader"
VIEWS: Final = ("command_answers", "cancellation_progress")

CREATE: Final = f"CREATE ROLE {READER_ROLE} NOLOGIN"
GRANTS: Final = (
    f"GRANT USAGE ON SCHEMA evaluation_cancel TO {READER_ROLE}",
    *(f"GRANT SELECT ON evaluation_cancel.{view} TO {READER_ROLE}" for view in VIEWS),
)

# For the upgrade. An upgrade of another database on this server may create the role at the same time.
IF_ALLOWED: Final = f"""
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{READER_ROLE}') THEN
        BEGIN
            {CREATE};
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'no right to create the role {READER_ROLE}: run `migrate role` with a login that has it';
                RETURN;
        END;
    END IF;
    {"; ".join(GRANTS)};
END $role$
"""


def role_sql() -> str:
    """The statements as a script."""
    return ";\n".join((CREATE, *GRANTS)) + ";\n"


async def make_role(login: PostgresLogin) -> None:
    """Create the role if it is missing, and grant its rights. Raises the driver's error."""
    connection = await connect(login)
    try:
        async with connection.transaction():
            if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", READER_ROLE):
                await connection.execute(CREATE)
            for grant in GRANTS:
                await connection.execute(grant)
    finally:
        await connection.close()
