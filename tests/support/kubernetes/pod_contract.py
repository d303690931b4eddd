"""How a pod's object ends, whatever plays the kubelet: what its last state in a watch proves of its processes."""

from __future__ import annotations

from typing import Any

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


def _pod(name: str, containers: int, grace: int) -> dict[str, Any]:
    several = [{"name": f"c{number}", "image": IMAGE, "command": ["sh", "-c", ENDS]} for number in range(containers)]
    spec = {"containers": several, "terminationGracePeriodSeconds": grace, "restartPolicy": "Never"}
    return {
        "metadata": {"name": name},
        "spec": {**spec, "nodeName": NODE, "automountServiceAccountToken": False},
    }
