"""`python -m deploy.local up`, started and ended as a person would."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.shared_memory import shared_memory
from tests.support.stacks import chosen_stack
from tests.support.waiting import until

STARTED = "Everything runs"


class Up:
    """The command, its output so far, and everything it started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(100):
            while text not in self.output:
                line = await self.process.stdout.readline()
                assert line, f"it ended after:\n{self.output}"
                self.output += line.decode()

    @property
    def directory(self) -> Path:
        (logs,) = (line.split()[-1] for line in self.output.splitlines() if "*.log" in line)
        return Path(logs).parent

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
async def up() -> AsyncIterator[Up]:
    real = chosen_stack() == "real"
    which = ["--kafka", "real" if real else "memory", "--kubernetes", "real" if real else "simulated"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "deploy.local", "up", *which),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    yield Up(process)
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_it_says_how_to_reach_each_part_and_a_signal_ends_it_leaving_nothing(
    up: Up, number: signal.Signals
) -> None:
    await up.read_until(STARTED)
    for part in ("Kafka", "postgresql://", "KUBECONFIG=", "http://"):
        assert part in up.output
    started, directory = up.descendants(), up.directory
    segment = (directory / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[6].split()[1]
    assert len(started) >= 4
    up.process.send_signal(number)
    await asyncio.wait_for(up.process.wait(), 60)
    await until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in started))
    await until(lambda: not directory.exists())
    assert segment not in shared_memory()


async def test_ctrl_c_while_it_starts_ends_it_too(up: Up) -> None:
    await up.read_until("Starting the parts")
    await until(lambda: len(up.descendants()) >= 2)
    started = up.descendants()
    up.process.send_signal(signal.SIGINT)
    await asyncio.wait_for(up.process.wait(), 60)
    await until(lambda: not any(each.is_running() for each in started))
