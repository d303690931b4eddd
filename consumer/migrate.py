"""`migrate`: bring the database to this version's schema, check it, print its SQL, and create the topics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from rich.console import Console

from consumer import migrations
from consumer.migrations.reader_role import READER_ROLE, role_sql
from consumer.settings import ConsumerSettings, load_settings
from consumer.terminal import ask

app = typer.Typer(no_args_is_help=True, help="Prepare the database and the topics.")


@app.command()
def upgrade(
    *, sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False
) -> None:
    """Bring the database to this version's schema."""
    settings = load_settings()
    if sql:
        print(migrations.sql(settings.evaluations_table))  # noqa: T201  # for a file or a pipe
        return
    ask(migrations.upgrade(settings.postgres_dsn.get_secret_value(), settings.evaluations_table))
    Console().print("The database is at this version's schema.")


@app.command()
def check() -> None:
    """Exit with 1 and a sentence when the database is not at this version's schema."""
    problem = ask(migrations.check(load_settings().postgres_dsn.get_secret_value()))
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
    ask(migrations.make_role(load_settings().postgres_dsn.get_secret_value()))
    Console().print(f"The role {READER_ROLE} can read what the HTTP endpoint needs.")


@app.command()
def topics(
    replication_factor: Annotated[int, typer.Option(help="Copies of each partition; -1: the broker's default.")] = -1,
) -> None:
    """Create the three topics where they are missing. Existing ones are left as they are."""
    created = ask(create_topics(load_settings(), replication_factor))
    Console().print(f"Created: {', '.join(created) or 'nothing, all were there'}.")


async def create_topics(settings: ConsumerSettings, replication_factor: int) -> list[str]:
    """Creates what is missing; gives the names. Raises a `KafkaError` for any other answer of the broker."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    created = []
    try:
        for spec in settings.topics.specs():
            new = NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.settings)
            # The client's constructor takes the broker's default, -1, for a mistake; the request may hold it.
            new.replication_factor = replication_factor
            answer = await admin.create_topics([new])
            error = for_code(answer.topic_errors[0][1])
            if error.errno == 0:
                created.append(spec.name)
            elif error is not TopicAlreadyExistsError:
                raise error(answer.topic_errors[0][2])
    finally:
        await admin.close()
    return created
