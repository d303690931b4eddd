"""The demo and `up`, run as a newcomer runs them, on the parts that TEST_STACK names."""

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.stacks import chosen_stack
from tests.support.waiting import until

LIMIT = 240.0
pytestmark = pytest.mark.timeout(300)


def command(name: str) -> list[str]:
    real = chosen_stack() == "real"
    which = ["--kafka", "real" if real else "memory", "--kubernetes", "real" if real else "simulated"]
    return [sys.executable, "-u", "-m", "deploy.local", name, *which]


async def started(name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(name), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )


async def test_the_demo_tells_every_case_and_finds_all_as_told() -> None:
    demo = await started("demo")
    try:
        printed, _ = await asyncio.wait_for(demo.communicate(), LIMIT)
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
    text = printed.decode()
    assert demo.returncode == 0, text
    for told in (
        "EvaluationCancelRejected: not_found",
        "24 objects and 1 upload gone",
        "asks to start it and is refused (cancelled)",
        "EvaluationCancelRejected: already_completed",
        "EvaluationCancelRejected: forbidden",
        "EvaluationCancelled again: the same id and bytes",
        "its worker reports success: held",
        "not_json",
        "is killed; it held",
        "all as told",
        "No defect was found.",
        "Read: postgres, kafka, archive.",
    ):
        assert told in text, text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert not [line for line in text.splitlines() if line != line.rstrip() and not line.startswith(" ")]


class Up:
    """A command that runs on, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT):
            while text not in self.output:
                line = await self.process.stdout.readline()
                assert line, f"it ended after:\n{self.output}"
                self.output += line.decode()

    @property
    def environment(self) -> Path:
        return Path(self.output.split("\n  . ")[1].split("\n")[0])

    @property
    def commands(self) -> list[str]:
        to_try = self.output.split("then, for example")[1].split("\n\n")[1]
        return [line.strip() for line in to_try.splitlines()]


@contextlib.asynccontextmanager
async def going_up() -> AsyncIterator[Up]:
    process = await started("up")
    try:
        yield Up(process)
    finally:
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.fixture
async def up() -> AsyncIterator[Up]:
    """Of a test that ends it."""
    async with going_up() as up:
        yield up


@pytest.fixture(scope="module")
async def kept_up() -> AsyncIterator[Up]:
    """For all tests that only use what runs, as a person would who keeps it running."""
    async with going_up() as up:
        await up.read_until("Everything runs")
        yield up


async def shell(up: Up, line: str) -> tuple[int, str]:
    """As pasted into another shell after the settings were sourced there."""
    bash = await asyncio.create_subprocess_exec(
        *("bash", "-c", f". {up.environment}\n{line}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
    )
    try:
        printed, _ = await asyncio.wait_for(bash.communicate(), LIMIT)
    finally:
        if bash.returncode is None:
            bash.kill()
            await bash.wait()
    assert bash.returncode is not None
    return bash.returncode, printed.decode()


async def test_every_command_that_up_prints_works_as_it_is_printed(kept_up: Up) -> None:
    endless = "python -m deploy.local events"
    assert endless in kept_up.commands
    for line in kept_up.commands:
        if line == endless:
            await tells_until_ctrl_c(kept_up, line, "EvaluationCancelled")
            continue
        code, printed = await shell(kept_up, line)
        assert code == 0, f"{line}\n{printed}"


async def tells_until_ctrl_c(up: Up, line: str, wanted: str) -> None:
    bash = await asyncio.create_subprocess_exec(
        *("bash", "-c", f". {up.environment}\nexec {line}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
    )
    told = Up(bash)
    try:
        await told.read_until(wanted)
        assert bash.returncode is None
        bash.send_signal(signal.SIGINT)
        rest, _ = await asyncio.wait_for(bash.communicate(), 60)
        assert bash.returncode == 130, told.output + rest.decode()
    finally:
        await ended(bash)


async def test_an_evaluation_made_by_hand_can_be_cancelled(kept_up: Up) -> None:
    code, printed = await shell(kept_up, "python -m deploy.local evaluation --pods 2 --artifacts 3")
    assert code == 0, printed
    assert re.fullmatch(r"[0-9a-f-]{36}\n", printed), printed
    code, printed = await shell(kept_up, f"cancel-producer cancel --wait --cleanup {printed.strip()}")
    assert code == 0, printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_consumers_in_order_and_leaves_nothing(up: Up, number: signal.Signals) -> None:
    await up.read_until("Everything runs")
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert sum("evaluation_cancel.consumer" in each.cmdline() for each in children) == 2
    directory = up.environment.parent
    logs = asyncio.create_task(asyncio.to_thread(logs_until_they_go, directory))
    up.process.send_signal(number)
    await asyncio.wait_for(up.process.wait(), 90)
    await until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children))
    await until(lambda: not directory.exists())
    assert all('"action": "stopped"' in each for each in await logs)


def logs_until_they_go(directory: Path) -> list[str]:
    """What the consumers have written by the time the directory is removed."""
    seen: dict[str, str] = {}
    end = time.monotonic() + 120
    while directory.exists() and time.monotonic() < end:
        for log in directory.glob("consumer-*.log"):
            with contextlib.suppress(FileNotFoundError):
                seen[log.name] = log.read_text()
        time.sleep(0.005)
    return list(seen.values())
