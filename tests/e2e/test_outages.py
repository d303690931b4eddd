"""Any one part lost at any moment: nothing is lost, nothing is doubled, and nobody is told too early."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.kafka.real import RealKafka
from deploy.local.kubernetes_real.cluster import RealKubernetes
from tests.support.system_env import SystemEnv
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)


async def test_a_consumer_killed_in_mid_work_loses_nothing(system_env: SystemEnv) -> None:
    evaluations = await system_env.running(30, ends_after=2)
    await system_env.cancel(evaluations)

    async def holds() -> bool:
        return await system_env.held_by("consumer-1") > 0

    await until(holds, "consumer-1 holds some of them")
    system_env.system.consumers["consumer-1"].child.kill()
    if not system_env.system.consumers["consumer-2"].reads_commands:
        await system_env.restart("consumer-1")  # nobody else reads commands on this broker
    await system_env.all_cancelled_once(evaluations)
    if system_env.system.consumers["consumer-2"].reads_commands:
        await system_env.restart("consumer-1")


async def test_a_consumer_stopped_with_leases_in_hand_holds_nobody_up_and_does_no_harm_when_it_wakes(
    system_env: SystemEnv,
) -> None:
    evaluations = await system_env.running(30, ends_after=1)
    await system_env.cancel(evaluations[:15])
    stopped = system_env.system.consumers["consumer-2"].child
    stopped.pause()
    try:
        await system_env.cancel(evaluations[15:])
        await system_env.all_cancelled_once(evaluations)
    finally:
        stopped.resume()
    await system_env.healthy()
    after = await system_env.running(5)
    await system_env.cancel(after)
    await system_env.all_cancelled_once([*evaluations, *after])


async def test_postgres_restarted_under_load_loses_nothing(system_env: SystemEnv) -> None:
    evaluations = await system_env.running(40, ends_after=1)
    sending = asyncio.create_task(system_env.cancel(evaluations))
    await system_env.system.stack.postgres.restart()
    await sending
    await system_env.all_cancelled_once(evaluations)
    await system_env.healthy()


async def test_postgres_killed_under_load_loses_nothing(system_env: SystemEnv) -> None:
    evaluations = await system_env.running(40, ends_after=1)
    sending = asyncio.create_task(system_env.cancel(evaluations))
    postgres = system_env.system.stack.postgres
    postgres.kill()
    await postgres.start()
    await sending
    await system_env.all_cancelled_once(evaluations)
    await system_env.healthy()


async def test_s3_down_delays_no_cancellation_and_the_artifacts_follow(system_env: SystemEnv) -> None:
    s3 = system_env.system.stack.s3
    evaluations = await system_env.running(3)
    for evaluation in evaluations:
        await system_env.team.write_artifacts(evaluation, 3)
    s3.pause()
    try:
        await system_env.cancel(evaluations, cleanup=True)
        await system_env.all_cancelled_once(evaluations)
    finally:
        s3.resume()
    for evaluation in evaluations:
        await system_env.listener.heard(evaluation.id, "EvaluationArtifactsCleaned")
        heard = system_env.listener.first(evaluation.id, "EvaluationArtifactsCleaned")
        assert heard is not None
        assert (heard.event.state, heard.event.deleted_count) == ("done", 3)  # type: ignore[union-attr]


@pytest.mark.real
async def test_kafka_killed_under_load_loses_nothing(system_env: SystemEnv) -> None:
    kafka = system_env.system.stack.kafka
    assert isinstance(kafka, RealKafka)
    evaluations = await system_env.running(40, ends_after=1)
    await system_env.cancel(evaluations[:20])
    kafka.kill()
    await kafka.start()
    await system_env.cancel(evaluations[20:])
    await system_env.all_cancelled_once(evaluations)
    await system_env.healthy()


@pytest.mark.real
async def test_an_api_server_that_hangs_or_dies_fails_no_cancellation(system_env: SystemEnv) -> None:
    kubernetes = system_env.system.stack.kubernetes
    assert isinstance(kubernetes, RealKubernetes)
    evaluations = await system_env.running(20, ends_after=1)
    kubernetes.apiserver.pause()
    await system_env.cancel(evaluations)

    async def tried() -> bool:
        return await system_env.held_by("consumer-1") + await system_env.held_by("consumer-2") > 0

    await until(tried, "they try in vain")
    kubernetes.apiserver.kill()
    await kubernetes.apiserver.start()
    await system_env.all_cancelled_once(evaluations)


@pytest.mark.real
async def test_pods_that_hang_are_not_told_to_be_gone(system_env: SystemEnv) -> None:
    kubernetes = system_env.system.stack.kubernetes
    assert isinstance(kubernetes, RealKubernetes)
    [evaluation] = await system_env.running(1)
    kubernetes.kwok.pause()
    try:
        await system_env.cancel([evaluation])
        await system_env.listener.heard(evaluation.id, "EvaluationCancelAccepted")
        others = [await system_env.team.register("blue") for _ in range(5)]
        await system_env.cancel(others)
        await system_env.all_cancelled_once(others)
        assert system_env.listener.first(evaluation.id, "EvaluationCancelled") is None
    finally:
        kubernetes.kwok.resume()
    await system_env.all_cancelled_once([evaluation])
