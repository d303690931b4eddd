"""Somebody's own table of evaluations: more words than the six, writers without grants, a mapping that changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.migrations import installed, schema
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable
from evaluation_cancel.consumer.migrations.uninstall import uninstall
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv, open_postgres_env

TABLE = """
CREATE TABLE public.runs (id uuid PRIMARY KEY, team_id text, status text, cluster text, job_namespace text,
    job_name text, job_uid text, bucket text, prefix text, request_key text, ended_at timestamptz)
"""
WORDS = {
    "created": "QUEUED",
    "starting": "STARTING",
    "running": ["RUNNING", "RETRYING"],
    "succeeded": "DONE",
    "failed": ["ERROR", "TIMED_OUT"],
    "cancelled": "CANCELLED",
}
MAPPING = EvaluationsTable(table="public.runs", statuses=WORDS, ignored_statuses=("DRAFT",))  # type: ignore[arg-type]
SET = "UPDATE public.runs SET status = $2 WHERE id = $1"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnTable:
    """A database with somebody's table, and the service's schema for it."""

    env: PostgresEnv
    login: PostgresLogin

    async def run(self, status: str) -> UUID:
        evaluation = uuid4()
        await self.env.admin.execute(
            "INSERT INTO public.runs (id, team_id, status) VALUES ($1, 'team-7', $2)", evaluation, status
        )
        return evaluation

    async def refusal(self, evaluation: UUID, word: str) -> asyncpg.PostgresError:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await self.env.admin.execute(SET, evaluation, word)
        return refused.value

    async def problems(self, mapping: EvaluationsTable = MAPPING, *logins: str) -> str:
        return "\n".join(await installed.problems(self.login, mapping, logins))


@pytest.fixture
async def own(empty_database: str) -> AsyncIterator[OwnTable]:
    async with open_postgres_env(empty_database) as env:
        await env.admin.execute(TABLE)
        login = PostgresLogin.at(empty_database)
        assert await schema.upgrade(login, MAPPING) == []
        yield OwnTable(env=env, login=login)


@pytest.mark.parametrize("word", ["ARCHIVED", "DRAFT", "it's {odd}", ""])
async def test_a_command_for_a_status_without_a_meaning_is_rejected_and_says_so(own: OwnTable, word: str) -> None:
    evaluation = await own.run(word)
    await own.env.send(command(evaluation, team="team-7"))
    assert await own.env.types(evaluation) == ["EvaluationCancelRejected"]
    recorded = await own.env.row("commands")
    assert (recorded["code"], recorded["status_seen"]) == ("unknown_status", "unknown")


async def test_each_word_of_a_status_means_it_and_the_first_is_written(own: OwnTable) -> None:
    evaluation = await own.run("RETRYING")
    assert await own.env.call("report", evaluation, "failed") == (True, "failed")
    assert await own.env.admin.fetchval("SELECT status FROM public.runs") == "ERROR"
    await own.env.admin.execute(SET, evaluation, "TIMED_OUT")
    refused = await own.refusal(evaluation, "RUNNING")
    assert (refused.sqlstate, refused.as_dict()["message"]) == (
        "EC001",
        f"evaluation {evaluation} is TIMED_OUT, which is final; it cannot become RUNNING",
    )


async def test_words_without_a_meaning_come_and_go_but_not_past_a_cancellation(own: OwnTable) -> None:
    evaluation = await own.run("RUNNING")
    for word in ("PAUSED", "DRAFT", "QUEUED", "PAUSED", "RUNNING"):
        await own.env.admin.execute(SET, evaluation, word)
    await own.env.send(command(evaluation, team="team-7"))
    assert (await own.refusal(evaluation, "PAUSED")).sqlstate == "EC002"
    await own.env.admin.execute(SET, evaluation, "RETRYING")
    await own.env.end(*await own.env.claim())
    assert (await own.refusal(evaluation, "PAUSED")).sqlstate == "EC001"


async def test_a_word_without_a_meaning_is_no_way_around_a_cancellation(own: OwnTable) -> None:
    evaluation = await own.run("PAUSED")
    refused = await own.refusal(evaluation, "CANCELLED")
    assert refused.sqlstate == "EC003"
    assert "becomes CANCELLED only when a cancellation of it has ended" in str(refused)


async def test_an_application_without_any_grant_updates_and_deletes_as_before(own: OwnTable) -> None:
    evaluation, other = await own.run("RUNNING"), await own.run("DONE")
    name = f"app_{uuid4().hex[:8]}"
    await own.env.admin.execute(f"CREATE ROLE {name}")
    await own.env.admin.execute(f"GRANT SELECT, UPDATE, DELETE ON public.runs TO {name}")
    await own.env.admin.execute(f"SET ROLE {name}")
    try:
        await own.env.admin.execute(SET, evaluation, "DONE")
        await own.env.admin.execute("DELETE FROM public.runs WHERE id = $1", other)
        assert (await own.refusal(evaluation, "RUNNING")).sqlstate == "EC001"
    finally:
        await own.env.admin.execute("RESET ROLE")
        await own.env.admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_another_mapping_takes_the_guards_along_whatever_the_type_of_its_status(own: OwnTable) -> None:
    evaluation = await own.run("DONE")
    await own.env.admin.execute(
        """
        CREATE TYPE public.state AS ENUM ('QUEUED', 'STARTING', 'RUNNING', 'RETRYING', 'DONE', 'ERROR', 'TIMED_OUT',
            'CANCELLED', 'LOST');
        CREATE TABLE public.newer AS SELECT * FROM public.runs;
        ALTER TABLE public.newer ALTER COLUMN status TYPE public.state USING status::public.state
        """
    )
    newer = MAPPING.model_copy(update={"table": "public.newer"})
    assert "the trigger zzz_evaluation_cancel_guard is not there" in await own.problems(newer)
    assert await schema.upgrade(own.login, newer) == [
        "statuses: no meaning is given for 'LOST'; add each to a status or to ignored_statuses"
    ]
    await own.env.admin.execute(SET, evaluation, "RUNNING")
    with pytest.raises(asyncpg.PostgresError, match="is DONE, which is final"):
        await own.env.admin.execute("UPDATE public.newer SET status = 'RUNNING'")


async def test_the_check_names_words_guards_and_rights_that_are_missing(own: OwnTable) -> None:
    name = f"consumer_{uuid4().hex[:8]}"
    await own.run("PAUSED")
    await own.env.admin.execute(f"CREATE ROLE {name}")
    try:
        await own.env.admin.execute("ALTER TABLE public.runs DISABLE TRIGGER zzz_evaluation_cancel_guard_delete")
        other = MAPPING.model_copy(update={"statuses": {**MAPPING.statuses, "failed": ("ERROR", "LOST")}})
        said = await own.problems(other, name, "nobody")
    finally:
        await own.env.admin.execute(f"DROP ROLE {name}")
    for part in (
        "no meaning is given for 'PAUSED'",
        "the trigger zzz_evaluation_cancel_guard_delete is not there or disabled",
        "'LOST' means unknown to the database, and failed in the settings; run `migrate upgrade`",
        f"{name}: lacks USAGE on the schema evaluation_cancel",
        f"{name}: lacks UPDATE on public.runs",
        f"{name}: lacks SELECT, INSERT, UPDATE, DELETE on evaluation_cancel.cancellations",
        "nobody: there is no such role",
    ):
        assert part in said


async def test_the_check_finds_nothing_where_all_is_granted_and_mapped(own: OwnTable) -> None:
    name = f"consumer_{uuid4().hex[:8]}"
    await own.run("DRAFT")
    await own.env.admin.execute(
        f"""
        CREATE ROLE {name};
        GRANT USAGE ON SCHEMA evaluation_cancel TO {name};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA evaluation_cancel TO {name};
        GRANT SELECT, UPDATE ON public.runs TO {name}
        """
    )
    try:
        assert await own.problems(MAPPING, name) == ""
    finally:
        await own.env.admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE public.runs DROP COLUMN job_uid", "job_uid: public.runs has no column 'job_uid'; it has bucket,"),
        ("ALTER TABLE public.runs ALTER COLUMN id TYPE text", "id: the column 'id' is text; needed is uuid"),
        (
            "ALTER TABLE public.runs ALTER COLUMN ended_at TYPE timestamp",
            "'ended_at' is timestamp without time zone; needed is timestamp with time zone",
        ),
        ("ALTER TABLE public.runs RENAME TO old", "public.runs does not exist"),
        ("ALTER TABLE public.runs RENAME TO old; CREATE VIEW public.runs AS SELECT * FROM old", "is no table"),
    ],
)
async def test_an_upgrade_refuses_a_table_that_does_not_fit_with_its_reason(
    own: OwnTable, change: str, said: str
) -> None:
    await own.env.admin.execute(change)
    with pytest.raises(Refusal, match="EVALUATIONS_TABLE does not fit") as refused:
        await schema.upgrade(own.login, MAPPING)
    assert said in str(refused.value)
    assert said in await own.problems()


async def test_uninstalling_leaves_the_table_alone_and_keeps_the_record_unless_told_otherwise(own: OwnTable) -> None:
    evaluation = await own.run("DONE")
    await uninstall(own.login, with_record=False)
    await own.env.admin.execute(SET, evaluation, "RUNNING")
    functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'evaluation_cancel'::regnamespace"
    assert await own.env.admin.fetchval(functions) == 0
    assert await own.env.admin.fetchval("SELECT count(*) FROM evaluation_cancel.commands") == 0
    await schema.upgrade(own.login, MAPPING)
    assert (await own.refusal(await own.run("DONE"), "RUNNING")).sqlstate == "EC001"
    await uninstall(own.login, with_record=True)
    assert await own.env.admin.fetchval("SELECT to_regnamespace('evaluation_cancel')") is None
    assert await own.env.admin.fetchval("SELECT count(*) FROM public.runs") == 2
