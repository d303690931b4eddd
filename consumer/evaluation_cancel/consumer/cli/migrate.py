"""`migrate`: bring the database to this version's schema, check it, print its SQL, and create the topics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from evaluation_cancel.consumer.cli.terminal import ask
from evaluation_cancel.consumer.migrations import version
from evaluation_cancel.consumer.migrations.reader_role import READER_ROLE, make_role, role_sql
from evaluation_cancel.consumer.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Prepare the database and the topics.")


@app.command()
def upgrade(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False
) -> None:
    """Bring the database to this version's schema."""
    from evaluation_cancel.consumer.migrations import schema  # noqa: PLC0415  # Alembic, which the others do without

    settings = load_settings()
    if sql:
        print(schema.sql(settings.evaluations_table))  # noqa: T201  # for a file or a pipe
        return
    ask(schema.upgrade(settings.postgres_dsn.get_secret_value(), settings.evaluations_table))
    Console().print("The database is at this version's schema.")


@app.command()
def check() -> None:
    """Exit with 1 and a sentence when the database is not at this version's schema."""
    problem = ask(version.check(load_settings().postgres_dsn.get_secret_value()))
    if problem is not None:
        print(problem, file=sys.stderr)  # noqa: T201  # the answer to the person at the terminal
        raise SystemExit(1)
    Console().print("The database is at this version's schema.")


@app.command()
def role(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False
) -> None:
    """Make the role with which the HTTP endpoint reads, where the upgrade was not allowed to."""
    if sql:
        print(role_sql(), end="")  # noqa: T201  # for a file or a pipe
        return
    ask(make_role(load_settings().postgres_dsn.get_secret_value()))
    Console().print(f"The role {READER_ROLE} can read what the HTTP endpoint needs.")


@app.command()
def topics(
    replication_factor: Annotated[int, typer.Option(help="Copies of each partition; -1: the broker's default.")] = -1,
) -> None:
    """Create the three topics where they are missing. Existing ones are left as they are."""
    from evaluation_cancel.consumer.kafka.topics import create_topics  # noqa: PLC0415  # Kafka's client, the same

    created = ask(create_topics(load_settings(), replication_factor))
    Console().print(f"Created: {', '.join(created) or 'nothing, all were there'}.")
