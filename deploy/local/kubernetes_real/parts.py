"""The four programs of a real Kubernetes API: how each is started and when it is ready.

They are one binary (`build.py`), on loopback, with everything switched off that needs a network or a kubelet. In which
order they start and what makes them a cluster is in `cluster.py`.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.local.kubernetes_real import STAGES
from deploy.local.processes.part import Part
from deploy.local.processes.plain_http import succeeds
from deploy.local.processes.ports import LOOPBACK, is_open

CONTROLLERS = (
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
    "pod-garbage-collector-controller",
)


@dataclass(kw_only=True, eq=False, repr=False)
class Etcd(Part):
    binary: Path
    home: Path
    port: int
    peer_port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        peers = f"http://{LOOPBACK}:{self.peer_port}"
        return [
            *(self.binary, "etcd", f"--data-dir={self.home / 'etcd'}", "--unsafe-no-fsync", "--log-level=error"),
            *(f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            f"--initial-cluster=default={peers}",
        ]

    async def answers(self) -> bool:
        return await succeeds(f"{self.url}/readyz")


@dataclass(kw_only=True, eq=False, repr=False)
class ApiServer(Part):
    binary: Path
    home: Path
    port: int
    etcd: str
    token: str
    arguments: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def ca_path(self) -> Path:
        """It signs its own certificate, which is therefore what its clients have to trust."""
        return self.home / "certs" / "apiserver.crt"

    def command(self) -> Sequence[str | Path]:
        key = self.home / "service-accounts.key"
        return [
            *(self.binary, "apiserver", f"--etcd-servers={self.etcd}", f"--cert-dir={self.ca_path.parent}"),
            *(f"--bind-address={LOOPBACK}", f"--advertise-address={LOOPBACK}", f"--secure-port={self.port}"),
            *("--authorization-mode=RBAC", "--anonymous-auth=false", f"--token-auth-file={self.home / 'tokens.csv'}"),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            *("--service-account-issuer=https://stand.local", "--service-cluster-ip-range=10.0.0.0/24"),
            # No traffic is routed to it, and no kubelet mounts tokens or removes taints.
            *("--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"),
            *self.arguments,
        ]

    async def answers(self) -> bool:
        if not self.ca_path.exists():
            return False
        try:
            trust = ssl.create_default_context(cafile=str(self.ca_path))
            async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=5) as client:
                found = await client.get(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
                return found.is_success
        except (httpx.HTTPError, OSError):
            return False


@dataclass(kw_only=True, eq=False, repr=False)
class Controllers(Part):
    binary: Path
    kubeconfig: Path
    key: Path
    port: int

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.binary, "controllers", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false"),
            *(f"--controllers={','.join(CONTROLLERS)}", f"--service-account-private-key-file={self.key}"),
            *(f"--bind-address={LOOPBACK}", f"--secure-port={self.port}", "--use-service-account-credentials=true"),
            # With the usual 20 and 30, six Jobs a second end.
            *("--kube-api-qps=1000", "--kube-api-burst=2000"),
        ]

    async def answers(self) -> bool:
        return await is_open(self.port)


@dataclass(kw_only=True, eq=False, repr=False)
class Kwok(Part):
    """Plays the kubelets of all nodes, by `stages.yaml`."""

    binary: Path
    kubeconfig: Path
    port: int

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.binary, "kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true"),
            *(f"--config={STAGES}", "--node-lease-duration-seconds=0"),
            f"--server-address={LOOPBACK}:{self.port}",
        ]

    async def answers(self) -> bool:
        return await is_open(self.port)
