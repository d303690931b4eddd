"""A cluster whose nodes run real processes: a real control plane, a scheduler, and kubelets with containerd.

Needs root and the programs of `tools.py`. Every image that its pods name must be `node.IMAGE`, which is busybox. At
the end every container and its mounts are gone, also when the stand was killed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.kubernetes.cluster import NODE, Cluster
from deploy.local.kubernetes_kubelet.build import node_binary
from deploy.local.kubernetes_kubelet.node import Node, make_node
from deploy.local.kubernetes_kubelet.scheduler import Scheduler
from deploy.local.kubernetes_kubelet.tools import check_tools
from deploy.local.kubernetes_real.build import kubernetes_binary
from deploy.local.kubernetes_real.cluster import ControlPlane, control_plane
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletKubernetes:
    cluster: Cluster
    plane: ControlPlane
    scheduler: Scheduler
    work: Workspace
    binary: Path
    plugins: Path
    nodes: list[Node] = field(default_factory=list)

    async def add_node(self, name: str) -> Node:
        """Start one more node and wait until it is ready."""
        parts = {"binary": self.binary, "plugins": self.plugins}
        node = await asyncio.to_thread(make_node, self.work, name, cluster=self.cluster, **parts)
        self.nodes.append(node)
        await node.start()
        return node

    def remove_node(self, node: Node) -> None:
        """Kill one node, as a power cut does. Its object in the cluster stays."""
        node.kill()
        self.nodes.remove(node)

    def processes(self, marker: str) -> list[int]:
        """The pids of the containers' processes, on all nodes, that have this text in their command line."""
        return [pid for node in self.nodes for pid in node.processes(marker)]

    def kill(self) -> None:
        """All of it; it is not meant to come back."""
        for node in self.nodes:
            node.kill()
        if self.scheduler.child is not None:
            self.scheduler.kill()
        self.plane.kill()


@asynccontextmanager
async def kubernetes_kubelet(work: Workspace) -> AsyncIterator[KubeletKubernetes]:
    """A cluster with one ready node, and none at the end. Raises `StandError` where the machine lacks something."""
    plugins = check_tools()
    binary, node = await kubernetes_binary(), await node_binary()
    plane = await asyncio.to_thread(control_plane, work, binary)
    cluster = replace(plane.cluster, kind="kubelet")
    scheduler = Scheduler(
        work=work, name="scheduler", binary=node, kubeconfig=plane.cluster.kubeconfig, port=free_port()
    )
    kubernetes = KubeletKubernetes(
        cluster=cluster, plane=plane, scheduler=scheduler, work=work, binary=node, plugins=plugins
    )
    try:
        await plane.start()
        await kubernetes.add_node(NODE)
        await scheduler.start()
        await plane.controllers.ready()
        yield kubernetes
    finally:
        await asyncio.to_thread(kubernetes.kill)
