"""One node: a kubelet and its container runtime, joined to a cluster, and what becomes of both."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psutil
from kubernetes_asyncio.client import ApiException

from deploy.local.errors import StandError
from deploy.local.kubernetes.admin import administrator, node_is_ready
from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_kubelet.containerd import Containerd
from deploy.local.kubernetes_kubelet.image import write_image
from deploy.local.kubernetes_kubelet.kubelet import Kubelet
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import Workspace

IMAGE = "docker.io/library/busybox:1.37"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    name: str
    cluster: Cluster
    containerd: Containerd
    kubelet: Kubelet

    async def start(self) -> None:
        """Start it and wait until the API server says that it is ready."""
        await self.containerd.start()
        await self._import_image()
        await self.kubelet.start()
        async with administrator(self.cluster) as client:

            async def ready() -> bool:
                try:
                    return await node_is_ready(client, self.name)
                except ApiException:
                    return False  # it has not registered yet

            assert self.kubelet.child is not None  # noqa: S101  it has just been started
            await self.kubelet.child.ready(ready, within=self.kubelet.patience)

    def processes(self, marker: str) -> list[int]:
        """The pids of its containers' processes that have this text in their command line."""
        found = []
        children = [] if self.containerd.child is None else psutil.Process(self.containerd.child.pid).children(True)
        for process in children:
            try:
                line = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if line[:2] == ["sh", "-c"] and any(marker in word for word in line):
                found.append(process.pid)
        return found

    def kill(self) -> None:
        """Kubelet, runtime and containers; it is not meant to come back."""
        for part in (self.kubelet, self.containerd):
            if part.child is not None:
                part.kill()

    async def _import_image(self) -> None:
        archive = self.containerd.home / "image.tar"
        await asyncio.to_thread(write_image, archive, IMAGE)
        if await self.containerd.control("images", "import", archive) != 0:
            raise StandError("no_image", "containerd did not take the image of the node's containers")


def make_node(work: Workspace, name: str, *, binary: Path, plugins: Path, cluster: Cluster) -> Node:
    """A node that is not started yet, with files of its own in the workspace."""
    home = work.directory / name
    home.mkdir()
    port = free_port()
    containerd = Containerd(work=work, name=f"{name}-containerd", home=home, plugins=plugins, number=port)
    containerd.configure()
    kubelet = Kubelet(
        work=work,
        name=f"{name}-kubelet",
        binary=binary,
        home=home,
        kubeconfig=cluster.kubeconfig,
        node=name,
        runtime=containerd,
        port=port,
        health_port=free_port(),
    )
    kubelet.configure()
    return Node(name=name, cluster=cluster, containerd=containerd, kubelet=kubelet)
