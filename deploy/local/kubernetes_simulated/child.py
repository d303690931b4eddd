"""The simulator as a child process of the stand, with its knobs at a distance.

Killed, it forgets its objects, unlike a real cluster; `knobs.turn("restart")` restarts only its HTTP server.
"""

import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kubernetes.cluster import Cluster, write_kubeconfig
from deploy.local.kubernetes_simulated.apiserver.knobs import RemoteKnobs
from deploy.local.kubernetes_simulated.simulator import KUBECONFIG
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, free_port, is_open
from deploy.local.processes.process import Workspace


@dataclass(kw_only=True, eq=False)
class SimulatedKubernetes(Part):
    cluster: Cluster
    port: int

    @property
    def knobs(self) -> RemoteKnobs:
        return RemoteKnobs(self.cluster)

    def command(self) -> Sequence[str | Path]:
        module = "deploy.local.kubernetes_simulated"
        return [sys.executable, "-m", module, "--port", str(self.port), "--directory", self.cluster.kubeconfig.parent]

    async def answers(self) -> bool:
        return await is_open(self.port)


@asynccontextmanager
async def kubernetes_simulated(work: Workspace) -> AsyncIterator[SimulatedKubernetes]:
    """A cluster with one ready node, and none at the end."""
    port, token = free_port(), secrets.token_urlsafe(24)
    url = f"http://{LOOPBACK}:{port}"
    home = work.directory / "kubernetes-simulated"
    home.mkdir()
    kubeconfig = write_kubeconfig(home / KUBECONFIG, url=url, token=token)
    cluster = Cluster(kubeconfig=kubeconfig, url=url, token=token, ca_path=None, kind="simulated")
    server = SimulatedKubernetes(work=work, name="kubernetes-simulated", cluster=cluster, port=port)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
