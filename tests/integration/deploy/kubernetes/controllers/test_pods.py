"""How pods start and end: at once, slowly, never, or not even started."""

import time

from tests.support.kubernetes.raw import Raw, foreground
from tests.support.kubernetes.under_test import UnderTest


async def test_a_deleted_pod_lives_on_with_its_grace_period_until_it_has_ended(api: Raw) -> None:
    created = await api.running_job("slow", ends_after="2")
    (pod,) = await api.pods_of(created.uid)
    begun = time.monotonic()
    answer = await api.call("DELETE", f"{api.pods}/{pod['metadata']['name']}")
    assert answer.code == 200
    assert answer.body["kind"] == "Pod"
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 30
    assert answer.body["metadata"]["deletionTimestamp"]
    await api.until(lambda: api.is_gone(f"{api.pods}/{pod['metadata']['name']}"))
    assert time.monotonic() - begun > 1


async def test_a_stuck_pod_keeps_its_job_until_it_is_forced(api: Raw) -> None:
    created = await api.running_job("stuck", behaviour="stuck")
    await api.delete_job("stuck", foreground(created.uid))
    await api.until(lambda: _terminating(api, created.uid))
    (pod,) = await api.pods_of(created.uid)
    assert pod["metadata"]["name"]
    assert pod["status"]["phase"] == "Running"
    assert (await api.job("stuck")).code == 200
    answer = await api.call("DELETE", f"{api.pods}/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})
    assert answer.code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/stuck"))


async def _terminating(api: Raw, uid: str) -> bool:
    return any("deletionTimestamp" in pod["metadata"] for pod in await api.pods_of(uid))


async def test_a_pending_pod_goes_with_its_job(api: Raw) -> None:
    created = await api.create_job("pending", behaviour="pending")
    await api.until(lambda: api.count_pods(created.uid, "Pending"), 1)
    await api.delete_job("pending", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/pending"))
    assert await api.pods_of(created.uid) == []


async def test_a_pod_without_a_node_stays_pending_and_ends_without_grace(api: Raw) -> None:
    created = await api.create_job("nowhere", node=None)
    await api.until(lambda: api.count_pods(created.uid, "Pending"), 1)
    await api.delete_job("nowhere", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/nowhere"))


async def test_pods_hang_while_the_kubelet_is_paused(api: Raw, under_test: UnderTest) -> None:
    created = await api.running_job("hangs")
    async with under_test.kubelet_paused():
        await api.delete_job("hangs", foreground(created.uid))
        await api.until(lambda: _terminating(api, created.uid))
        assert (await api.job("hangs")).code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/hangs"))


async def test_the_tracking_finalizer_is_let_go_when_the_job_is_deleted(api: Raw) -> None:
    created = await api.running_job("tracked", behaviour="stuck")
    await api.delete_job("tracked", foreground(created.uid))
    await api.until(lambda: _untracked(api, created.uid))


async def _untracked(api: Raw, uid: str) -> bool:
    return all("finalizers" not in pod["metadata"] for pod in await api.pods_of(uid))


async def test_a_finalizer_on_a_pod_keeps_pod_and_job(api: Raw) -> None:
    created = await api.running_job("pod-held")
    (pod,) = await api.pods_of(created.uid)
    path = f"{api.pods}/{pod['metadata']['name']}"
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    assert (await api.call("PATCH", path, hold, kind="application/strategic-merge-patch+json")).code == 200
    await api.delete_job("pod-held", foreground(created.uid))
    await api.until(lambda: _finalizers(api, path), ["example.com/hold"])
    await api.until(lambda: _grace(api, path), 0)
    assert (await api.job("pod-held")).code == 200
    await api.call("PATCH", path, {"metadata": {"finalizers": None}}, kind="application/merge-patch+json")
    await api.until(lambda: api.is_gone(f"{api.jobs}/pod-held"))


async def _finalizers(api: Raw, path: str) -> list[str]:
    return list((await api.get(path)).body["metadata"].get("finalizers", []))


async def _grace(api: Raw, path: str) -> int | None:
    grace: int | None = (await api.get(path)).body["metadata"].get("deletionGracePeriodSeconds")
    return grace
