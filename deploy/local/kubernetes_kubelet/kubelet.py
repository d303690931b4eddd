"""The kubelet of one node, with its settings. Which runtime it has and what ends it is in `node.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.kubernetes_kubelet.containerd import Containerd
from deploy.local.kubernetes_kubelet.tools import CGROUPS
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, is_open


@dataclass(kw_only=True, eq=False, repr=False)
class Kubelet(Part):
    """Runs in the namespaces of its runtime, since the two share mounts."""

    binary: Path
    home: Path
    kubeconfig: Path
    node: str
    runtime: Containerd
    port: int
    health_port: int

    def configure(self) -> None:
        """Write its settings: no evictions, no port off loopback, and a root of its own for the cgroups of pods.

        A kubelet kills what it finds in `kubepods` below that root and does not know: with `/`, the pods of every
        other node on the machine. The root begins with the name of the stand's directory, so `sweeper.py` removes it.
        """
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": LOOPBACK,
            "port": self.port,
            "healthzBindAddress": LOOPBACK,
            "healthzPort": self.health_port,
            "readOnlyPort": 0,
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._make_cgroup()}",
            "containerRuntimeEndpoint": f"unix://{self.runtime.socket}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "evictionHard": {"memory.available": "50Mi"},
            "imageMinimumGCAge": "24h",
            "imageGCHighThresholdPercent": 100,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
        }
        (self.home / "kubelet.yaml").write_text(yaml.safe_dump(settings))

    def _make_cgroup(self) -> Path:
        name = Path(self.work.directory.name) / self.node
        one = (CGROUPS / "cgroup.controllers").exists()
        for hierarchy in [CGROUPS] if one else [each.parent for each in CGROUPS.glob("*/cgroup.procs")]:
            (hierarchy / name).mkdir(parents=True)
        return name

    def command(self) -> Sequence[str | Path]:
        return [
            *self.runtime.inside(),
            *(self.binary, "kubelet", f"--config={self.home / 'kubelet.yaml'}"),
            *(f"--kubeconfig={self.kubeconfig}", f"--hostname-override={self.node}"),
            *(f"--root-dir={self.home / 'kubelet'}", f"--cert-dir={self.home / 'kubelet-certs'}"),
        ]

    async def answers(self) -> bool:
        return await is_open(self.health_port)
