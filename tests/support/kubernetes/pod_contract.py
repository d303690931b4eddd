"""How a pod's object ends, whatever plays the kubelet: what its last state in a watch proves of its processes.

The tests below are imported where a cluster is: they hold the simulated kubelet, KWOK and a real kubelet to the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.kubernetes.cluster import NODE
from deploy.local.kubernetes_kubelet.node import IMAGE
from evaluation_cancel.consumer.kubernetes.pod_state import parse_pod
from evaluation_cancel.consumer.kubernetes.port import Pod
from tests.support.kubernetes.raw import Raw

ENDS = 'trap "exit 0" TERM; sleep 1000 & wait'


async def last_seen(raw: Raw, name: str, *, containers: int = 1, grace: int = 30, forced: bool = False) -> Pod:
    """Run a pod, delete it, and return what the watch says of it at its end."""
    created = await raw.create(raw.pods, _pod(name, containers, grace))
    path = f"{raw.pods}/{name}"

    async def runs() -> bool:
        return bool((await raw.get(path)).body["status"].get("phase") == "Running")

    await raw.until(runs)
    only = {"fieldSelector": f"metadata.name={name}", "resourceVersion": created.version}
    async with raw.watch(raw.pods, **only) as watch:
        await raw.call("DELETE", path, {"gracePeriodSeconds": 0} if forced else None)
        events = await watch.until("DELETED")
    return parse_pod(events[-1]["object"])


@pytest.mark.parametrize("containers", [1, 3])
async def test_a_deleted_pod_goes_with_the_report_of_all_its_containers(api: Raw, containers: int) -> None:
    pod = await last_seen(api, f"deleted-{containers}", containers=containers)
    assert (pod.stopped, pod.doubt, len(pod.containers)) == (True, None, containers)


async def test_a_pod_deleted_by_force_goes_without_a_report(api: Raw) -> None:
    pod = await last_seen(api, "forced", forced=True)
    assert (pod.stopped, pod.doubt, pod.containers) == (False, "forced", ())


async def test_a_pod_with_a_grace_period_of_zero_goes_without_a_report(api: Raw) -> None:
    pod = await last_seen(api, "zero", grace=0)
    assert (pod.stopped, pod.doubt, pod.containers) == (False, "grace_zero", ())


def _pod(name: str, containers: int, grace: int) -> dict[str, Any]:
    several = [{"name": f"c{number}", "image": IMAGE, "command": ["sh", "-c", ENDS]} for number in range(containers)]
    spec = {"containers": several, "terminationGracePeriodSeconds": grace, "restartPolicy": "Never"}
    return {
        "metadata": {"name": name},
        "spec": {**spec, "nodeName": NODE, "automountServiceAccountToken": False},
    }
