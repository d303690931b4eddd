"""The fence and the final statuses, as other writers of the evaluations table meet them."""

from __future__ import annotations

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.cancellations import Failed, TeardownEvidence
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.consumer.migrations.mapping import STATUSES, EvaluationsTable
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv, open_postgres_env

SET_STATUS = "UPDATE evaluation_cancel.evaluations SET status = $2 WHERE id = $1"


async def refused_with(postgres_env: PostgresEnv, statement: str, *arguments: object) -> str:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await postgres_env.admin.execute(statement, *arguments)
    return refusal.value.sqlstate or ""


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled"])
async def test_a_final_status_never_changes_with_any_writer(postgres_env: PostgresEnv, final: str) -> None:
    evaluation = await postgres_env.evaluation("running" if final == "cancelled" else final)
    if final == "cancelled":
        await postgres_env.cancelled(command(evaluation))
    for status in set(STATUSES) - {final}:
        assert await refused_with(postgres_env, SET_STATUS, evaluation, status) == "EC001"
    assert await postgres_env.call("report", evaluation, "running") == (False, final)


async def test_no_status_gets_through_an_open_cancellation(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    for status in ("succeeded", "failed"):
        assert await refused_with(postgres_env, SET_STATUS, evaluation, status) == "EC002"
    assert (
        await refused_with(postgres_env, "DELETE FROM evaluation_cancel.evaluations WHERE id = $1", evaluation)
        == "EC002"
    )


async def test_cancelled_is_written_by_the_end_of_a_cancellation_only(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    assert await refused_with(postgres_env, SET_STATUS, evaluation, "cancelled") == "EC003"
    await postgres_env.send(command(evaluation))
    assert await refused_with(postgres_env, SET_STATUS, evaluation, "cancelled") == "EC003"


async def test_a_status_never_goes_back(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("running")
    for status in ("created", "starting"):
        assert await refused_with(postgres_env, SET_STATUS, evaluation, status) == "EC004"


async def test_the_guard_also_refuses_a_status_set_by_another_trigger(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.admin.execute(
        """
        CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.status := 'succeeded'; RETURN NEW; END $$;
        CREATE TRIGGER meddle BEFORE UPDATE ON evaluation_cancel.evaluations
            FOR EACH ROW EXECUTE FUNCTION public.meddle()
        """
    )
    await postgres_env.admin.execute("ALTER TABLE evaluation_cancel.evaluations DISABLE TRIGGER meddle")
    await postgres_env.send(command(evaluation))
    await postgres_env.admin.execute("ALTER TABLE evaluation_cancel.evaluations ENABLE TRIGGER meddle")
    touch = "UPDATE evaluation_cancel.evaluations SET bucket = 'other' WHERE id = $1"
    assert await refused_with(postgres_env, touch, evaluation) == "EC002"


async def test_a_repeatable_read_writer_with_an_older_snapshot_fails(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    async with open_postgres_env(postgres_env.dsn) as consumer:
        transaction = postgres_env.admin.transaction(isolation="repeatable_read")
        await transaction.start()
        await postgres_env.status(evaluation)  # takes the snapshot
        await consumer.send(command(evaluation))
        assert await refused_with(postgres_env, SET_STATUS, evaluation, "succeeded") == "40001"
        await transaction.rollback()


async def test_a_job_may_start_only_without_an_open_cancellation(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("created")
    await postgres_env.send(command(evaluation))
    assert await postgres_env.call("starting", evaluation, "c1", "ns", "job") == (False, "cancelling")
    await postgres_env.end(*await postgres_env.claim(), job="not created")
    assert await postgres_env.call("starting", evaluation, "c1", "ns", "job") == (False, "cancelled")


async def test_starting_twice_with_the_same_job_is_the_same_start(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("created")
    assert await postgres_env.call("starting", evaluation, "c1", "ns", "job") == (True, "starting")
    assert await postgres_env.call("starting", evaluation, "c1", "ns", "job") == (True, "starting")
    assert await postgres_env.call("starting", evaluation, "c1", "ns", "another") == (False, "starting")


async def test_the_uid_of_the_job_gets_through_the_fence_once(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("starting", uid=None)
    await postgres_env.send(command(evaluation))
    assert await postgres_env.call("attach_job", evaluation, "u-1") == (True, "attached")
    assert await postgres_env.call("attach_job", evaluation, "u-1") == (True, "attached")
    assert await postgres_env.call("attach_job", evaluation, "u-2") == (False, "another_uid")
    [row] = await postgres_env.claim()
    assert row.job_uid == "u-1"


async def test_a_report_behind_the_fence_is_held_and_applied_when_the_cancellation_fails(
    postgres_env: PostgresEnv,
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    assert await postgres_env.call("report", evaluation, "succeeded") == (True, "held")
    assert await postgres_env.status(evaluation) == "running"
    [row] = await postgres_env.claim()
    await postgres_env.store.finish_cancellations(
        [(row, Failed(evidence=TeardownEvidence(), code="owned_by", detail="x"))]
    )
    assert await postgres_env.status(evaluation) == "succeeded"
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelFailed"]


async def test_a_held_report_is_never_applied_when_the_cancellation_succeeds(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await postgres_env.call("report", evaluation, "succeeded")
    await postgres_env.end(*await postgres_env.claim())
    assert await postgres_env.status(evaluation) == "cancelled"
    assert (await postgres_env.row("held_reports"))["applied_at"] is None


async def test_an_end_held_back_is_not_replaced_by_a_later_running(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await postgres_env.call("report", evaluation, "running")
    await postgres_env.call("report", evaluation, "failed")
    await postgres_env.call("report", evaluation, "running")
    assert (await postgres_env.row("held_reports"))["status"] == "failed"


async def test_a_new_command_after_a_failure_opens_a_new_cancellation(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    [row] = await postgres_env.claim()
    await postgres_env.store.finish_cancellations(
        [(row, Failed(evidence=TeardownEvidence(), code="owned_by", detail="x"))]
    )
    await postgres_env.cancelled(command(evaluation))
    assert await postgres_env.status(evaluation) == "cancelled"


async def test_an_unknown_status_reported_is_refused_with_what_would_be_right(postgres_env: PostgresEnv) -> None:
    with pytest.raises(asyncpg.PostgresError, match="not one of running, succeeded, failed"):
        await postgres_env.call("report", await postgres_env.evaluation(), "done")


TEAMS_TABLE = """
CREATE SCHEMA ml;
CREATE TYPE ml.state AS ENUM ('NEW', 'BOOTING', 'ACTIVE', 'PASSED', 'BROKEN', 'CANCELED');
CREATE TABLE ml.runs (run_id uuid PRIMARY KEY, owner text, state ml.state NOT NULL, k8s text, ns text, job text,
    uid text, bkt text, path text, req text, finished timestamptz, unrelated text);
INSERT INTO ml.runs (run_id, owner, state, k8s, ns, job, uid)
    VALUES ('0190b0c0-0000-7000-8000-000000000001', 'blue', 'ACTIVE', 'c1', 'ns', 'job', 'uid-1')
"""
MAPPING = EvaluationsTable(
    table="ml.runs",
    id="run_id",
    team_id="owner",
    status="state",
    cluster="k8s",
    job_namespace="ns",
    job_name="job",
    job_uid="uid",
    bucket="bkt",
    prefix="path",
    request_key="req",
    ended_at="finished",
    statuses=dict(zip(STATUSES, ("NEW", "BOOTING", "ACTIVE", "PASSED", "BROKEN", "CANCELED"), strict=True)),
)


async def test_a_teams_own_table_is_cancelled_in_and_guarded_without_a_column_added(empty_database: str) -> None:
    async with open_postgres_env(empty_database) as postgres_env:
        await postgres_env.admin.execute(TEAMS_TABLE)
        await schema.upgrade(PostgresLogin.at(empty_database), MAPPING)
        run = await postgres_env.admin.fetchval("SELECT run_id FROM ml.runs")
        await postgres_env.send(command(run))
        with pytest.raises(asyncpg.PostgresError, match="is being cancelled"):
            await postgres_env.admin.execute("UPDATE ml.runs SET state = 'PASSED'")
        [row] = await postgres_env.claim()
        assert (row.cluster, row.namespace, row.job_name, row.job_uid) == ("c1", "ns", "job", "uid-1")
        await postgres_env.end(row)
        assert await postgres_env.admin.fetchval("SELECT state::text FROM ml.runs") == "CANCELED"
        assert await postgres_env.admin.fetchval("SELECT finished IS NOT NULL FROM ml.runs")
        with pytest.raises(asyncpg.PostgresError, match="which is final"):
            await postgres_env.admin.execute("UPDATE ml.runs SET state = 'ACTIVE'")


def test_a_mapping_that_is_no_plain_sql_is_refused() -> None:
    with pytest.raises(ValueError, match="not a plain SQL identifier"):
        EvaluationsTable(table='x"; DROP TABLE y; --')
    with pytest.raises(ValueError, match="'same' stands twice"):
        EvaluationsTable(statuses={**dict.fromkeys(STATUSES, "same")})
