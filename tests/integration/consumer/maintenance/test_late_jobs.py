from __future__ import annotations

import asyncio

from evaluation_cancel.consumer.maintenance.late_jobs import LateJobs
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until


def sweep(postgres_env: PostgresEnv, cluster_env: ClusterEnv) -> LateJobs:
    return LateJobs(database=postgres_env.database, clusters={"local": cluster_env.jobs}, every=0.1)


async def test_a_job_created_after_the_cancellation_is_taken_down_and_recorded(
    postgres_env: PostgresEnv, cluster_env: ClusterEnv
) -> None:
    cancelled, running = await postgres_env.evaluation(), await postgres_env.evaluation()
    await postgres_env.cancelled(command(cancelled))
    late = await cluster_env.job(cancelled, "late")
    await cluster_env.job(running, "fine")
    loop = sweep(postgres_env, cluster_env)
    task = asyncio.create_task(loop.run())

    async def gone() -> bool:
        return await cluster_env.jobs.get(cluster_env.raw.namespace, "late") is None

    await until(gone, "the late Job is gone")
    loop.stop()
    await task
    row = await postgres_env.row("cancellation_errors")
    assert row["code"] == "late_job"
    assert late in row["detail"]
    fine = await cluster_env.jobs.get(cluster_env.raw.namespace, "fine")
    assert fine is not None
    assert fine.deletion_requested_at is None


async def test_a_job_whose_cancellation_is_still_open_is_left_to_the_teardown(
    postgres_env: PostgresEnv, cluster_env: ClusterEnv
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await cluster_env.job(evaluation, "being-stopped")
    mine = [job for job in await cluster_env.jobs.labelled() if job.evaluation_id == str(evaluation)]
    assert len(mine) == 1
    assert await sweep(postgres_env, cluster_env).late(mine) == []


async def test_a_label_that_is_no_evaluations_id_is_nobodys_job(
    postgres_env: PostgresEnv, cluster_env: ClusterEnv
) -> None:
    await cluster_env.raw.running_job("odd", labels={"evaluations.vijil.ai/evaluation-id": "not-a-uuid"})
    assert await sweep(postgres_env, cluster_env).late(await cluster_env.jobs.labelled()) == []
