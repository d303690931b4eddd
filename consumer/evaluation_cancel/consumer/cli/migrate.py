"""`migrate`: upgrade the database's schema, check its revision, print its SQL, create role and topics."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from evaluation_cancel.consumer.cli.terminal import run_on_postgres
from evaluation_cancel.consumer.migrations import installed
from evaluation_cancel.consumer.migrations.reader_role import READER_ROLE, make_role, role_sql
from evaluation_cancel.consumer.runtime.terminal import console, run_for_terminal
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.settings.loading import load_settings

app = typer.Typer(no_args_is_help=True, help="Prepare the database and the topics.")


@app.command()
def upgrade(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False
) -> None:
    """Upgrade the database to this version's schema."""
    from evaluation_cancel.consumer.migrations import schema  # noqa: PLC0415  # Alembic, slow to import

    settings = load_settings(ConsumerSettings)
    if sql:
        print(schema.sql(settings.evaluations_table))  # noqa: T201  # for a file or a pipe
        return
    problems = run_on_postgres(schema.upgrade(settings.postgres_login(), settings.evaluations_table))
    console().print("The database has this version's schema.")
    _print_problems(problems)


@app.command()
def check(
    login: Annotated[
        list[str] | None, typer.Option(help="A login of the consumer, whose rights are checked; repeatable.")
    ] = None,
) -> None:
    """Check schema, evaluations table, guards and rights. Names all that is missing, and exits with 1 then."""
    settings = load_settings(ConsumerSettings)
    problems = run_on_postgres(installed.problems(settings.postgres_login(), settings.evaluations_table, login or ()))
    if problems:
        _print_problems(problems)
        raise SystemExit(1)
    console().print("The database has this version's schema, and the evaluations table fits the settings.")


@app.command()
def uninstall(
    *,
    with_record: Annotated[
        bool, typer.Option("--with-record", help="Drop the whole schema: inbox, cancellations, messages.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take triggers and functions out of the database. The record stays, unless told otherwise."""
    from evaluation_cancel.consumer.migrations import uninstall as uninstalling  # noqa: PLC0415  # seldom used

    login = load_settings(ConsumerSettings).postgres_login()
    left = run_on_postgres(uninstalling.open_cancellations(login))
    if not yes:
        what = "triggers, functions and the whole record" if with_record else "triggers and functions"
        typer.confirm(f"Drop {what}? {left} cancellations are open.", abort=True)
    for statement in run_on_postgres(uninstalling.uninstall(login, with_record=with_record)):
        print(statement)  # noqa: T201  # what was run


def _print_problems(problems: Sequence[str]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201  # the command's answer


@app.command()
def role(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False
) -> None:
    """Create the role that the HTTP endpoint reads with, where `upgrade` had no right to create roles."""
    if sql:
        print(role_sql(), end="")  # noqa: T201  # for a file or a pipe
        return
    run_on_postgres(make_role(load_settings(ConsumerSettings).postgres_login()))
    console().print(f"The role {READER_ROLE} has the rights that the HTTP endpoint needs.")


@app.command()
def topics(
    replication_factor: Annotated[int, typer.Option(help="Replicas of each partition. -1: the broker's default.")] = -1,
) -> None:
    """Create those of the three topics that do not exist. Existing topics stay as they are."""
    from evaluation_cancel.consumer.kafka.topics import create_topics  # noqa: PLC0415  # Kafka's client, slow to import

    created = run_for_terminal(create_topics(load_settings(ConsumerSettings), replication_factor))
    console().print(f"Created: {', '.join(created) or 'nothing, all topics existed'}.")
