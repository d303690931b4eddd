"""Child processes that never outlive the stand, and the directory they work in.

A `Workspace` is a temporary directory and the children started in it. Each child leads its own process group, so that
Ctrl-C in a terminal reaches only the stand, which then ends them in order. If the stand itself is killed, the kernel
kills the children (`launch.py`) and a small helper removes groups and directory (`sweeper.py`).
What the children are is not known here; see `services/postgres.py`, `kafka/real.py` and the others.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.errors import StandError

_POLL = 0.03
_STOPS_WITHIN = 30.0
_HERE = Path(__file__).parent


@dataclass(kw_only=True, slots=True, eq=False, repr=False)
class Child:
    """One started program. Its process group is killed when the workspace closes."""

    name: str
    log: Path
    _process: subprocess.Popen[bytes]
    _ended: Callable[[int], None]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    async def ready(self, check: Callable[[], Awaitable[bool]], *, within: float = 60) -> None:
        """Wait until `check` says yes; an end of the program or the deadline is an error with its last lines."""
        deadline = time.monotonic() + within
        while not await check():
            if not self.running:
                raise StandError("part_ended", f"{self.name} ended with {self._process.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StandError("part_not_ready", f"{self.name} was not ready after {within:g} s\n{self.tail()}")
            await asyncio.sleep(_POLL)

    async def wait(self, *, within: float) -> int:
        """The exit code; TimeoutError if it goes on running."""
        async with asyncio.timeout(within):
            while (code := self._process.poll()) is None:  # noqa: ASYNC110  a process sets no event
                await asyncio.sleep(_POLL)
        self._reaped()
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, patience: float = 20) -> None:
        """Ask the program to end; after `patience` seconds, make it."""
        self.resume()
        if self.running:
            self._process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await self.wait(within=patience)
        self.kill()

    async def abandon(self, *, patience: float = 5) -> None:
        """Ask the program and its group to end, and give each of them time to tidy up before it is made to."""
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + patience
        while (self.running or self._has_group()) and time.monotonic() < deadline:  # noqa: ASYNC110  as in `wait`
            await asyncio.sleep(_POLL)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the program and all that it started, and wait for its end, which cannot take long."""
        self._signal_all(signal.SIGKILL)
        self._process.wait(timeout=30)
        self._reaped()

    def pause(self) -> None:
        """SIGSTOP. Returns when nothing of it runs any more, which on a busy machine may take a moment.

        Nothing ran in two looks, one after the other: what the first has missed was just being forked, by a process
        that had stopped before it was listed, and no other process can have forked since.
        """
        deadline = time.monotonic() + _STOPS_WITHIN
        self._signal_all(signal.SIGSTOP)
        while self._stop_again() or self._stop_again():
            if time.monotonic() > deadline:
                raise StandError("not_paused", f"{self.name} still ran {_STOPS_WITHIN:g} s after SIGSTOP")

    def _stop_again(self) -> bool:
        """Whether there was anything to stop."""
        running = [process for process in self._all() if not _has_stopped(process)]
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        return bool(running)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal_all(self, number: signal.Signals) -> None:
        others = self._all()[1:]  # before they lose a parent that is killed
        # The group first: to a process that is forking and has the signal already, Linux does not give it once more,
        # and with it not to the process that it forks.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        for process in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _all(self) -> list[psutil.Process]:
        """The program, and its descendants too: Postgres puts each of its processes into a group of its own."""
        try:
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _has_group(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _reaped(self) -> None:
        self._ended(self.pid)


def _has_stopped(process: psutil.Process) -> bool:
    """All its threads: the signal stops each when it is up next, and one that waits for a processor runs on till then.

    Where there is no /proc, the process as a whole has to do.
    """
    tasks = Path(f"/proc/{process.pid}/task")
    with contextlib.suppress(OSError):
        states = [stat.read_text().rpartition(") ")[2][0] for stat in tasks.glob("*/stat")]
        if states:
            return all(state in "TtZX" for state in states)
    try:
        return process.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return True


@dataclass(kw_only=True, slots=True, eq=False, repr=False)
class Workspace:
    directory: Path
    _sweeper: subprocess.Popen[bytes]
    _children: dict[int, Child] = field(default_factory=dict)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        account: str | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        cwd: Path | None = None,
    ) -> Child:
        """Start a program; what it prints is appended to `<name>.log` of the workspace."""
        log = self.directory / f"{name}.log"
        launch = [sys.executable, "-I", "-S", str(_HERE / "launch.py"), str(os.getpid()), str(int(death_signal))]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*launch, account or "-", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        child = Child(name=name, log=log, _process=process, _ended=self._forget)
        self._children[child.pid] = child
        self._tell(f"+{child.pid}\n")
        return child

    async def run(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        limit: float,
        environment: Mapping[str, str] | None = None,
        account: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start a program and wait for its good end; anything else is an error with its last lines."""
        child = self.start(name, command, environment=environment, account=account, cwd=cwd)
        try:
            code = await child.wait(within=limit)
        except TimeoutError:
            raise StandError("too_slow", f"{name} was not done after {limit:g} s\n{child.tail()}") from None
        finally:
            # An interrupted program may have to clean up: the Postgres that initdb runs holds shared memory.
            await child.abandon()
        if code != 0:
            raise StandError("failed", f"{name} failed with {code}\n{child.tail(40)}")

    def close(self) -> None:
        for child in reversed(list(self._children.values())):
            child.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._sweeper.stdin is not None:
            self._sweeper.stdin.close()
        self._sweeper.wait(timeout=30)

    def _forget(self, pid: int) -> None:
        if self._children.pop(pid, None) is not None:
            self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        if self._sweeper.stdin is not None:
            self._sweeper.stdin.write(line.encode())
            self._sweeper.stdin.flush()


@asynccontextmanager
async def workspace() -> AsyncIterator[Workspace]:
    """A temporary directory and its children, all gone at the end."""
    made = open_workspace()
    try:
        yield made
    finally:
        made.close()


def open_workspace() -> Workspace:
    directory = Path(tempfile.mkdtemp(prefix="evaluation-cancel-"))
    # Programs that run under another account must be able to reach their own directories below it.
    directory.chmod(0o711)
    sweeper = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_HERE / "sweeper.py"), str(directory)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    return Workspace(directory=directory, _sweeper=sweeper)
