from __future__ import annotations

import asyncio

from evaluation_cancel.consumer.maintenance.late_jobs import LateJobs
from tests.support.consumer.cluster_env import Bed
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import Ledger
from tests.support.waiting import until


def sweep(ledger: Ledger, bed: Bed) -> LateJobs:
    return LateJobs(database=ledger.database, clusters={"local": bed.jobs}, every=0.1)


async def test_a_job_created_after_the_cancellation_is_taken_down_and_recorded(ledger: Ledger, bed: Bed) -> None:
    cancelled, running = await ledger.evaluation(), await ledger.evaluation()
    await ledger.cancelled(command(cancelled))
    late = await bed.job(cancelled, "late")
    await bed.job(running, "fine")
    loop = sweep(ledger, bed)
    task = asyncio.create_task(loop.run())

    async def gone() -> bool:
        return await bed.jobs.get(bed.raw.namespace, "late") is None

    await until(gone, "the late Job is gone")
    loop.stop()
    await task
    row = await ledger.row("cancellation_errors")
    assert row["code"] == "late_job"
    assert late in row["detail"]
    fine = await bed.jobs.get(bed.raw.namespace, "fine")
    assert fine is not None
    assert fine.deletion_requested_at is None


async def test_a_job_whose_cancellation_is_still_open_is_left_to_the_teardown(ledger: Ledger, bed: Bed) -> None:
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation))
    await bed.job(evaluation, "being-stopped")
    mine = [job for job in await bed.jobs.labelled() if job.evaluation_id == str(evaluation)]
    assert len(mine) == 1
    assert await sweep(ledger, bed).late(mine) == []


async def test_a_label_that_is_no_evaluations_id_is_nobodys_job(ledger: Ledger, bed: Bed) -> None:
    await bed.raw.running_job("odd", labels={"evaluations.vijil.ai/evaluation-id": "not-a-uuid"})
    assert await sweep(ledger, bed).late(await bed.jobs.labelled()) == []
