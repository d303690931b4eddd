"""The container runtime of one node, in namespaces of its own: when it ends, the kernel ends all that it runs.

containerd leaves its shims and their containers running when it is killed. Here it is the first process of a PID and
a mount namespace, so that no container and no mount outlives it, whatever ends the stand.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kubernetes_kubelet.image import PAUSE
from deploy.local.processes.part import Part

_SETTINGS = """version = 2
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
    number: int
    """Of its pods' network, which no other node of the machine should have."""

    @property
    def socket(self) -> Path:
        return self.home / "containerd.sock"

    def configure(self) -> None:
        """Write its settings and those of the pods' network, which leads nowhere."""
        (self.home / "cni").mkdir(parents=True)
        values = {"home": self.home, "socket": self.socket, "pause": PAUSE, "plugins": self.plugins}
        (self.home / "containerd.toml").write_text(_SETTINGS.format(**values))
        ranges = [[{"subnet": pod_network(self.number)}]]
        addresses = {"type": "host-local", "dataDir": str(self.home / "ipam"), "ranges": ranges}
        network = {
            "cniVersion": "1.0.0",
            "name": "stand",
            "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}, {"type": "loopback"}],
        }
        (self.home / "cni" / "10-stand.conflist").write_text(json.dumps(network))

    def command(self) -> Sequence[str | Path]:
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("containerd", "--config", self.home / "containerd.toml"),
        ]

    async def answers(self) -> bool:
        return self.socket.exists() and await self.control("version") == 0

    async def control(self, *arguments: str | Path) -> int:
        """Run `ctr` on it, inside its namespaces. Returns its exit code."""
        command = [*self.inside(), "ctr", "-a", str(self.socket), "-n", "k8s.io", *map(str, arguments)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        return await process.wait()

    def inside(self) -> list[str]:
        """What to put before a command so that it runs in its namespaces."""
        pid = self._started().pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return ["nsenter", f"--target={children[0] if children else pid}", "--mount", "--pid"]


def pod_network(number: int) -> str:
    """One of the 16,384 networks of 256 addresses in the range that RFC 6598 keeps off the internet."""
    return f"100.{64 + number // 256 % 64}.{number % 256}.0/24"
