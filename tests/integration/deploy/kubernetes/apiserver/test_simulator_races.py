"""Two races that happen to a few Jobs in a thousand on a real server, provoked."""

from collections.abc import Iterator

import pytest

from deploy.local.kubernetes_simulated import Simulator
from tests.support.kubernetes.raw import Raw, foreground
from tests.support.kubernetes.under_test import UnderTest


@pytest.fixture
def simulator(under_test: UnderTest) -> Iterator[Simulator]:
    assert under_test.simulator is not None
    yield under_test.simulator
    under_test.simulator.pods_come_late(0)
    under_test.simulator.jobs_go_before_their_pods(0)


async def test_a_pod_can_appear_after_an_empty_list_though_its_job_is_being_deleted(
    api: Raw, simulator: Simulator
) -> None:
    simulator.pods_come_late(0.3)
    created = await api.create_job("late")
    await api.delete_job("late", foreground(created.uid))
    assert await api.count_pods(created.uid) == 0
    assert (await api.job("late")).code == 200
    await api.until(lambda: api.count_pods(created.uid), 1)
    await api.until(lambda: api.is_gone(f"{api.jobs}/late"))
    await api.until(lambda: api.count_pods(created.uid), 0)


async def test_a_job_can_be_gone_while_a_pod_is_still_listed(api: Raw, simulator: Simulator) -> None:
    simulator.jobs_go_before_their_pods(60)
    created = await api.running_job("first", ends_after="0.5")
    await api.delete_job("first", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/first"))
    assert await api.count_pods(created.uid) == 1
    await api.until(lambda: api.count_pods(created.uid), 0)
