"""Any one part lost at any moment: nothing is lost, nothing is doubled, and nobody is told too early."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.kafka.real import RealKafka
from deploy.local.kubernetes_real.cluster import RealKubernetes
from tests.e2e.conftest import Works
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)


async def test_a_consumer_killed_in_mid_work_loses_nothing(works: Works) -> None:
    evaluations = await works.running(30, ends_after=2)
    await works.cancel(evaluations)

    async def holds() -> bool:
        return await works.held_by("consumer-1") > 0

    await until(holds, "consumer-1 holds some of them")
    works.system.consumers["consumer-1"].child.kill()
    if not works.system.consumers["consumer-2"].reads_commands:
        await works.start_anew("consumer-1")  # nobody else reads commands on this broker
    await works.all_cancelled_once(evaluations)
    if works.system.consumers["consumer-2"].reads_commands:
        await works.start_anew("consumer-1")


async def test_a_consumer_stopped_with_leases_in_hand_holds_nobody_up_and_does_no_harm_when_it_wakes(
    works: Works,
) -> None:
    evaluations = await works.running(30, ends_after=1)
    await works.cancel(evaluations[:15])
    stopped = works.system.consumers["consumer-2"].child
    stopped.pause()
    try:
        await works.cancel(evaluations[15:])
        await works.all_cancelled_once(evaluations)
    finally:
        stopped.resume()
    await works.healthy()
    after = await works.running(5)
    await works.cancel(after)
    await works.all_cancelled_once([*evaluations, *after])


async def test_postgres_restarted_under_load_loses_nothing(works: Works) -> None:
    evaluations = await works.running(40, ends_after=1)
    sending = asyncio.create_task(works.cancel(evaluations))
    await works.system.stack.postgres.restart()
    await sending
    await works.all_cancelled_once(evaluations)
    await works.healthy()


async def test_postgres_killed_under_load_loses_nothing(works: Works) -> None:
    evaluations = await works.running(40, ends_after=1)
    sending = asyncio.create_task(works.cancel(evaluations))
    postgres = works.system.stack.postgres
    postgres.kill()
    await postgres.start()
    await sending
    await works.all_cancelled_once(evaluations)
    await works.healthy()


async def test_s3_down_delays_no_cancellation_and_the_artifacts_follow(works: Works) -> None:
    s3 = works.system.stack.s3
    evaluations = await works.running(3)
    for evaluation in evaluations:
        await works.team.write_artifacts(evaluation, 3)
    s3.pause()
    try:
        await works.cancel(evaluations, cleanup=True)
        await works.all_cancelled_once(evaluations)
    finally:
        s3.resume()
    for evaluation in evaluations:
        await works.listener.heard(evaluation.id, "EvaluationArtifactsCleaned")
        heard = works.listener.first(evaluation.id, "EvaluationArtifactsCleaned")
        assert heard is not None
        assert (heard.event.state, heard.event.deleted_count) == ("done", 3)  # type: ignore[union-attr]


@pytest.mark.real
async def test_kafka_killed_under_load_loses_nothing(works: Works) -> None:
    kafka = works.system.stack.kafka
    assert isinstance(kafka, RealKafka)
    evaluations = await works.running(40, ends_after=1)
    await works.cancel(evaluations[:20])
    kafka.kill()
    await kafka.start()
    await works.cancel(evaluations[20:])
    await works.all_cancelled_once(evaluations)
    await works.healthy()


@pytest.mark.real
async def test_an_api_server_that_hangs_or_dies_fails_no_cancellation(works: Works) -> None:
    kubernetes = works.system.stack.kubernetes
    assert isinstance(kubernetes, RealKubernetes)
    evaluations = await works.running(20, ends_after=1)
    kubernetes.apiserver.pause()
    await works.cancel(evaluations)

    async def tried() -> bool:
        return await works.held_by("consumer-1") + await works.held_by("consumer-2") > 0

    await until(tried, "they try in vain")
    kubernetes.apiserver.kill()
    await kubernetes.apiserver.start()
    await works.all_cancelled_once(evaluations)


@pytest.mark.real
async def test_pods_that_hang_are_not_told_to_be_gone(works: Works) -> None:
    kubernetes = works.system.stack.kubernetes
    assert isinstance(kubernetes, RealKubernetes)
    [evaluation] = await works.running(1)
    kubernetes.kwok.pause()
    try:
        await works.cancel([evaluation])
        await works.listener.heard(evaluation.id, "EvaluationCancelAccepted")
        others = [await works.team.register("blue") for _ in range(5)]
        await works.cancel(others)
        await works.all_cancelled_once(others)
        assert works.listener.first(evaluation.id, "EvaluationCancelled") is None
    finally:
        kubernetes.kwok.resume()
    await works.all_cancelled_once([evaluation])
