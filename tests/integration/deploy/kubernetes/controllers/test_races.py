"""What proves that a Job and its pods have ended, and what does not.

What happens to a Job in a thousand on a real server is provoked in the simulator by
`tests/integration/deploy/kubernetes/apiserver/test_simulator_races.py`.
"""

import asyncio

from tests.support.kubernetes.raw import Raw, foreground
from tests.support.kubernetes.under_test import UnderTest

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


async def test_an_empty_list_proves_nothing_while_the_job_is_there(api: Raw, under_test: UnderTest) -> None:
    """Whoever creates its pods may only be slow."""
    async with under_test.controllers_paused():
        created = await api.create_job("late")
        assert await api.count_pods(created.uid) == 0
        assert (await api.job("late")).code == 200
    await api.until(lambda: api.count_pods(created.uid), 1)
    await api.delete_job("late", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/late"))
    await api.until(lambda: api.count_pods(created.uid), 0)


async def test_a_job_that_is_gone_proves_nothing_while_its_pod_is_listed(api: Raw, under_test: UnderTest) -> None:
    """As after somebody else's DELETE in the background: the Job goes at once, and its pods live on."""
    created = await api.running_job("first")
    async with under_test.kubelet_paused():
        await api.delete_job("first", foreground(created.uid))
        await api.delete_job("first", {"propagationPolicy": "Background"})
        await api.until(lambda: api.is_gone(f"{api.jobs}/first"))
        assert await api.count_pods(created.uid) == 1
    await api.until(lambda: api.count_pods(created.uid), 0)
