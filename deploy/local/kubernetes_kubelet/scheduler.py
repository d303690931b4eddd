"""The scheduler, without which no pod would get to a node."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, is_open


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
