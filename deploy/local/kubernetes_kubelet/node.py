"""The programs of a node: containerd, the kubelet and the scheduler, with their settings.

In which order they start and what ends them is in `cluster.py`.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from deploy.local.kubernetes_kubelet.image import PAUSE
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, is_open

_CONTAINERD = """version = 2
root = "{home}/containerd"
state = "{home}/run"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


@dataclass(kw_only=True, eq=False, repr=False)
class Containerd(Part):
    home: Path
    plugins: Path

    @property
    def socket(self) -> Path:
        return self.home / "containerd.sock"

    def configure(self) -> None:
        """Write its settings and those of the pods' network, which leads nowhere."""
        (self.home / "cni").mkdir(parents=True)
        values = {"home": self.home, "socket": self.socket, "pause": PAUSE, "plugins": self.plugins}
        (self.home / "containerd.toml").write_text(_CONTAINERD.format(**values))
        addresses = {"type": "host-local", "dataDir": str(self.home / "ipam"), "ranges": [[{"subnet": "10.88.7.0/24"}]]}
        network = {
            "cniVersion": "1.0.0",
            "name": "stand",
            "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}, {"type": "loopback"}],
        }
        (self.home / "cni" / "10-stand.conflist").write_text(json.dumps(network))

    def command(self) -> Sequence[str | Path]:
        return ["containerd", "--config", self.home / "containerd.toml"]

    async def answers(self) -> bool:
        return self.socket.exists() and await self.control("version") == 0

    async def control(self, *arguments: str | Path) -> int:
        """Run `ctr` on it. Returns its exit code."""
        command = ["ctr", "-a", str(self.socket), "-n", "k8s.io", *map(str, arguments)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        return await process.wait()

    def kill_containers(self) -> None:
        """Kill every container and its shim: they outlive containerd by design."""
        for process in psutil.process_iter(["name", "cmdline"]):
            if str(self.socket) in (process.info["cmdline"] or ()) and "shim" in (process.info["name"] or ""):
                for each in (*process.children(recursive=True), process):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()


@dataclass(kw_only=True, eq=False, repr=False)
class Kubelet(Part):
    binary: Path
    home: Path
    kubeconfig: Path
    node: str
    socket: Path
    port: int
    health_port: int

    def configure(self) -> None:
        """Write its settings: no evictions, no cgroups of its own, and no port that is not on loopback."""
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
            "containerRuntimeEndpoint": f"unix://{self.socket}",
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

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.binary, "kubelet", f"--config={self.home / 'kubelet.yaml'}", f"--kubeconfig={self.kubeconfig}"),
            *(f"--hostname-override={self.node}", f"--root-dir={self.home / 'kubelet'}"),
            f"--cert-dir={self.home / 'kubelet-certs'}",
        ]

    async def answers(self) -> bool:
        return await is_open(self.health_port)


@dataclass(kw_only=True, eq=False, repr=False)
class Scheduler(Part):
    binary: Path
    kubeconfig: Path
    port: int

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.binary, "scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false"),
            *(f"--bind-address={LOOPBACK}", f"--secure-port={self.port}"),
        ]

    async def answers(self) -> bool:
        return await is_open(self.port)
