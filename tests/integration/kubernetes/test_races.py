"""What proves that a Job and its pods have ended, and what does not."""

import asyncio

from tests.integration.kubernetes.conftest import UnderTest
from tests.integration.kubernetes.raw import Raw, foreground

MANY = 60


async def test_job_gone_and_then_an_empty_list_proves_the_end(api: Raw) -> None:
    """Jobs deleted right after their creation, the moment at which pods are still to come."""

    async def one(number: int) -> str:
        created = await api.create_job(f"short-{number}")
        await api.delete_job(f"short-{number}", foreground(created.uid))
        await api.until(lambda: api.is_gone(f"{api.jobs}/short-{number}"))
        await api.until(lambda: api.count_pods(created.uid), 0)
        return created.uid

    uids = await asyncio.gather(*(one(number) for number in range(MANY)))
    await asyncio.sleep(1.5)
    assert [await api.count_pods(uid) for uid in uids] == [0] * MANY


async def test_a_pod_can_appear_after_an_empty_list(api: Raw, under_test: UnderTest) -> None:
    """Shown where it can be provoked; on a real server it happens to some Jobs in a thousand."""
    if under_test.simulator is None:
        return
    under_test.simulator.pods_come_late(0.3)
    try:
        created = await api.create_job("late")
        await api.delete_job("late", foreground(created.uid))
        assert await api.count_pods(created.uid) == 0
        assert (await api.job("late")).code == 200
        await api.until(lambda: api.count_pods(created.uid), 1)
        await api.until(lambda: api.is_gone(f"{api.jobs}/late"))
        await api.until(lambda: api.count_pods(created.uid), 0)
    finally:
        under_test.simulator.pods_come_late(0)


async def test_a_job_can_be_gone_while_a_pod_is_still_listed(api: Raw, under_test: UnderTest) -> None:
    if under_test.simulator is None:
        return
    under_test.simulator.jobs_go_before_their_pods(60)
    try:
        created = await api.running_job("first", ends_after="0.5")
        await api.delete_job("first", foreground(created.uid))
        await api.until(lambda: api.is_gone(f"{api.jobs}/first"))
        assert await api.count_pods(created.uid) == 1
        await api.until(lambda: api.count_pods(created.uid), 0)
    finally:
        under_test.simulator.jobs_go_before_their_pods(0)
