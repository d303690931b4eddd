"""A part of the stand that is one program: started, stopped, killed, paused and started again.

Its state (a data directory, its ports) survives a restart, so that tests can take it away from the system and give it
back. What the program is, is said by the subclasses: `services/postgres.py`, `kafka/real.py`, `services/s3.py`,
`kubernetes_real`.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StandError
from deploy.local.processes.process import Child, Workspace


@dataclass(kw_only=True, eq=False, repr=False)
class Part(ABC):
    work: Workspace
    name: str
    account: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when the stand is killed."""
    patience: float = 120.0
    """Seconds for a start or an orderly stop."""
    child: Child | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether it is ready for its clients."""

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        await self.ready()

    def launch(self) -> None:
        """Start it and do not wait."""
        if self.child is not None and self.child.running:
            raise StandError("already_running", f"{self.name} is running")
        self.child = self.work.start(self.name, self.command(), account=self.account, death_signal=self.death_signal)

    async def ready(self) -> None:
        await self._started().ready(self.answers, within=self.patience)

    async def stop(self) -> None:
        """As an operator would: it ends its work in order."""
        await self._started().stop(self.stop_signal, patience=self.patience)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """SIGKILL: it can end nothing in order."""
        self._started().kill()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and get no answer."""
        self._started().pause()

    def resume(self) -> None:
        self._started().resume()

    def _started(self) -> Child:
        if self.child is None:
            raise StandError("not_started", f"{self.name} was never started")
        return self.child
