"""The slow sweep at work on Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from evaluation_cancel.consumer.intake.decide import Decided
from evaluation_cancel.consumer.maintenance.sweep import Reconcile, SweepLimits
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.sql import reads
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until

OFTEN = SweepLimits(poll=0.02, every=0.02)


@asynccontextmanager
async def sweeping(postgres_env: PostgresEnv, limits: SweepLimits = OFTEN) -> AsyncIterator[list[Decided]]:
    heard: list[Decided] = []
    loop = Reconcile(
        database=postgres_env.database,
        decide=postgres_env.decide,
        on_decided=lambda decided, _records: heard.append(decided),
        limits=limits,
    )
    task = asyncio.create_task(loop.run())
    try:
        yield heard
    finally:
        loop.stop()
        await task


async def forgotten_by_all(postgres_env: PostgresEnv) -> None:
    """A cancellation in a cluster that nobody works on, accepted a while ago."""
    await postgres_env.send(command(await postgres_env.evaluation(cluster="nowhere")))
    await postgres_env.admin.execute(
        "UPDATE evaluation_cancel.cancellations SET next_attempt_at = now() - interval '6 minutes'"
    )


async def test_a_cluster_that_nobody_works_on_is_told_by_its_name_now_and_then(
    postgres_env: PostgresEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    await forgotten_by_all(postgres_env)
    lines: list[str] = []

    def told() -> bool:
        lines.extend(line for line in capsys.readouterr().out.splitlines() if "action=unclaimed" in line)
        return bool(lines)

    async with sweeping(postgres_env):
        await until(told, "it is told")
        held = await postgres_env.admin.fetchval("SELECT now()")
        await until(
            lambda: postgres_env.admin.fetchval("SELECT now() > $1::timestamptz + interval '1 second'", held), "later"
        )
        told()
    [line] = lines
    assert "nowhere" in line


async def test_a_metric_counts_what_nobody_claims(postgres_env: PostgresEnv) -> None:
    await forgotten_by_all(postgres_env)
    await postgres_env.send(command(await postgres_env.evaluation()))
    metrics = Metrics()
    async with postgres_env.database.connection() as tx:
        metrics.observe(await reads.gauges(tx), 0)
    assert metrics.registry.get_sample_value("evaluation_cancel_waiting", {"where": "unclaimed"}) == 1
    assert metrics.registry.get_sample_value("evaluation_cancel_waiting", {"where": "open"}) == 2


async def test_a_command_that_was_left_over_is_decided_and_told_to_the_others(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    async with postgres_env.admin.transaction():
        await postgres_env.admin.execute(
            "SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", evaluation
        )
        await postgres_env.send(command(evaluation))
        assert await postgres_env.count("commands", "decision IS NULL") == 1
    async with sweeping(postgres_env) as heard:
        await until(lambda: bool(heard), "it is decided")
    assert heard[0].counts == {"accepted": 1}
