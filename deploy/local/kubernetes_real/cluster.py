"""A real Kubernetes API server with its controllers and KWOK for kubelets, all on loopback.

Jobs, pods, propagation, preconditions, finalizers, watches, RBAC and flow control are the real thing; only containers
are not run. There is no scheduler: a pod that names the node `NODE` runs, one that names none stays Pending. How pods
behave is said by their labels and annotations (`stages.yaml`).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.local.kubernetes.admin import administrator, create_node, node_is_ready
from deploy.local.kubernetes.cluster import NODE, Cluster, write_kubeconfig
from deploy.local.kubernetes_real.build import kubernetes_binary
from deploy.local.kubernetes_real.parts import ApiServer, Controllers, Etcd, Kwok
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import Workspace


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """An API server with its store and its controllers, and no node."""

    cluster: Cluster
    etcd: Etcd
    apiserver: ApiServer
    controllers: Controllers

    async def start(self) -> None:
        """Start it; `controllers.ready` tells when the controllers act."""
        await self.etcd.start()
        await self.apiserver.start()
        self.controllers.launch()

    def kill(self) -> None:
        """All of it; it is not meant to come back."""
        for part in (self.controllers, self.apiserver, self.etcd):
            if part.child is not None:
                part.kill()


@dataclass(frozen=True, kw_only=True)
class RealKubernetes(ControlPlane):
    kwok: Kwok

    def kill(self) -> None:
        """All of it; it is not meant to come back."""
        if self.kwok.child is not None:
            self.kwok.kill()
        super().kill()


@asynccontextmanager
async def kubernetes_real(
    work: Workspace, *, apiserver_arguments: tuple[str, ...] = ()
) -> AsyncIterator[RealKubernetes]:
    """A cluster with one ready node, and none at the end."""
    binary = await kubernetes_binary()
    plane = await asyncio.to_thread(control_plane, work, binary, apiserver_arguments)
    kwok = Kwok(work=work, name="kwok", binary=binary, kubeconfig=plane.cluster.kubeconfig, port=free_port())
    kubernetes = RealKubernetes(
        cluster=plane.cluster, etcd=plane.etcd, apiserver=plane.apiserver, controllers=plane.controllers, kwok=kwok
    )
    try:
        await kubernetes.start()
        kubernetes.kwok.launch()
        await _join_node(kubernetes)
        await kubernetes.controllers.ready()
        yield kubernetes
    finally:
        kubernetes.kill()


async def _join_node(kubernetes: RealKubernetes) -> None:
    async with administrator(kubernetes.cluster) as client:
        await create_node(client, NODE)

        async def ready() -> bool:
            return await node_is_ready(client, NODE)

        assert kubernetes.kwok.child is not None  # noqa: S101  it has just been started
        await kubernetes.kwok.child.ready(ready, within=kubernetes.kwok.patience)


def control_plane(work: Workspace, binary: Path, arguments: tuple[str, ...] = ()) -> ControlPlane:
    """A control plane that is not started yet, with files of its own in the workspace."""
    home = work.directory / "kubernetes"
    home.mkdir()
    token = secrets.token_urlsafe(24)
    (home / "tokens.csv").touch(mode=0o600)
    (home / "tokens.csv").write_text(f"{token},administrator,administrator,system:masters\n")
    key = _write_key(home / "service-accounts.key")
    etcd = Etcd(work=work, name="etcd", binary=binary, home=home, port=free_port(), peer_port=free_port())
    apiserver = ApiServer(
        work=work,
        name="apiserver",
        binary=binary,
        home=home,
        port=free_port(),
        etcd=etcd.url,
        token=token,
        arguments=arguments,
    )
    kubeconfig = home / "kubeconfig"
    write_kubeconfig(kubeconfig, url=apiserver.url, token=token, ca_path=apiserver.ca_path)
    return ControlPlane(
        cluster=Cluster(kubeconfig=kubeconfig, url=apiserver.url, token=token, ca_path=apiserver.ca_path, kind="real"),
        etcd=etcd,
        apiserver=apiserver,
        controllers=Controllers(
            work=work, name="controllers", binary=binary, kubeconfig=kubeconfig, key=key, port=free_port()
        ),
    )


def _write_key(path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path
