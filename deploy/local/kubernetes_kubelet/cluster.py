"""A cluster whose one node runs real processes: a real control plane, scheduler, kubelet and containerd.

Needs root and the programs of `tools.py`. Every image name that its pods use is the busybox of `image.py`, which has
to be named beforehand. At the end every container, its shim and its mounts are gone.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from kubernetes_asyncio.client import ApiException

from deploy.local.errors import StandError
from deploy.local.kubernetes.admin import administrator, node_is_ready
from deploy.local.kubernetes.cluster import NODE, Cluster
from deploy.local.kubernetes_kubelet.build import node_binary
from deploy.local.kubernetes_kubelet.image import write_image
from deploy.local.kubernetes_kubelet.node import Containerd, Kubelet, Scheduler
from deploy.local.kubernetes_kubelet.tools import check_tools
from deploy.local.kubernetes_real.build import kubernetes_binary
from deploy.local.kubernetes_real.cluster import ControlPlane, control_plane
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import Workspace

IMAGE = "docker.io/library/busybox:1.37"
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletKubernetes:
    cluster: Cluster
    plane: ControlPlane
    containerd: Containerd
    kubelet: Kubelet
    scheduler: Scheduler

    def processes(self, marker: str) -> list[int]:
        """The pids of the containers' processes that have this text in their command line."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if line[:2] == ["sh", "-c"] and any(marker in word for word in line):
                found.append(process.pid)
        return found

    def kill(self) -> None:
        """All of it; it is not meant to come back."""
        for part in (self.kubelet, self.scheduler, self.containerd):
            if part.child is not None:
                part.kill()
        self.containerd.kill_containers()
        self.plane.kill()
        _unmount(self.containerd.home)


@asynccontextmanager
async def kubernetes_kubelet(work: Workspace) -> AsyncIterator[KubeletKubernetes]:
    """A cluster with one ready node, and none at the end. Raises `StandError` where the machine lacks something."""
    plugins = check_tools()
    binaries = await kubernetes_binary(), await node_binary()
    kubernetes = await asyncio.to_thread(_prepare, work, *binaries, plugins)
    try:
        await kubernetes.plane.start()
        await kubernetes.containerd.start()
        await _import_image(kubernetes.containerd)
        await kubernetes.kubelet.start()
        await _node_is_ready(kubernetes)
        await kubernetes.scheduler.start()
        await kubernetes.plane.controllers.ready()
        yield kubernetes
    finally:
        await asyncio.to_thread(kubernetes.kill)


async def _import_image(containerd: Containerd) -> None:
    archive = containerd.home / "image.tar"
    await asyncio.to_thread(write_image, archive, IMAGE)
    if await containerd.control("images", "import", archive) != 0:
        raise StandError("no_image", "containerd did not take the image of the node's containers")


async def _node_is_ready(kubernetes: KubeletKubernetes) -> None:
    async with administrator(kubernetes.cluster) as client:

        async def ready() -> bool:
            try:
                return await node_is_ready(client, NODE)
            except ApiException:
                return False  # it has not registered yet

        assert kubernetes.kubelet.child is not None  # noqa: S101  it has just been started
        await kubernetes.kubelet.child.ready(ready, within=kubernetes.kubelet.patience)


def _prepare(work: Workspace, binary: Path, node: Path, plugins: Path) -> KubeletKubernetes:
    plane = control_plane(work, binary)
    kubeconfig = plane.cluster.kubeconfig
    home = work.directory / "node"
    home.mkdir()
    containerd = Containerd(work=work, name="containerd", home=home, plugins=plugins)
    containerd.configure()
    kubelet = Kubelet(
        work=work,
        name="kubelet",
        binary=node,
        home=home,
        kubeconfig=kubeconfig,
        node=NODE,
        socket=containerd.socket,
        port=free_port(),
        health_port=free_port(),
    )
    kubelet.configure()
    return KubeletKubernetes(
        cluster=replace(plane.cluster, kind="kubelet"),
        plane=plane,
        containerd=containerd,
        kubelet=kubelet,
        scheduler=Scheduler(work=work, name="scheduler", binary=node, kubeconfig=kubeconfig, port=free_port()),
    )


def _unmount(home: Path) -> None:
    places = [line.split()[1] for line in _MOUNTS.read_text().splitlines()]
    for place in sorted((each for each in places if each.startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)
