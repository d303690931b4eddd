"""Children end with their workspace, in whatever way that ends."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import StandError
from deploy.local.processes.process import Child, Workspace, workspace
from tests.support.waiting import until

DEADLINE = 30.0
FOREVER = "import time; time.sleep(3600)"
STUBBORN = "import signal, time;signal.signal(signal.SIGTERM, signal.SIG_IGN);print('up', flush=True);time.sleep(3600)"
WITH_GRANDCHILD = (
    "import subprocess, sys, time;"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']).pid, flush=True);"
    "time.sleep(3600)"
)
# More processes than processors, so that a signal finds most of them waiting for one.
BUSY = """
import os
for _ in range(4):
    os.fork()
while True:
    sum(range(10_000))
    os.write(1, b".")
"""
# Is found in the midst of its forks.
FORKING = BUSY.replace("for _ in range(4)", "os.write(1, b'.')\nfor _ in range(6)")
# A stand in a process of its own: says where it works and which processes it has, then waits to be killed.
STAND = f"""
import sys, time
from deploy.local.processes.process import open_workspace
work = open_workspace()
child = work.start("child", [sys.executable, "-c", {WITH_GRANDCHILD!r}])
while not child.tail():
    time.sleep(0.02)
print(work.directory, child.pid, child.tail(), flush=True)
time.sleep(3600)
"""


def python(work: Workspace, code: str, name: str = "child") -> Child:
    return work.start(name, [sys.executable, "-c", code])


async def said(child: Child) -> str:
    async def something() -> bool:
        return bool(child.tail())

    await child.ready(something, within=DEADLINE)
    return child.tail()


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until_gone(*pids: int) -> None:
    await until(lambda: not any(map(runs, pids)))


async def test_children_their_children_and_the_directory_are_gone_when_the_workspace_closes() -> None:
    async with workspace() as work:
        child = python(work, WITH_GRANDCHILD)
        grandchild = int(await said(child))
        assert psutil.pid_exists(grandchild)
    await until_gone(child.pid, grandchild)
    assert not work.directory.exists()


async def test_children_are_gone_when_the_body_fails() -> None:
    children: list[Child] = []

    async def fail() -> None:
        async with workspace() as work:
            children.append(python(work, FOREVER))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await until_gone(children[0].pid)
    assert not children[0].log.parent.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_everything_is_gone_after_a_signal_ended_the_stand_itself(number: signal.Signals) -> None:
    environment = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STAND, stdout=asyncio.subprocess.PIPE, stderr=-3
    )
    assert environment.stdout is not None
    directory, child, grandchild = (await asyncio.wait_for(environment.stdout.readline(), DEADLINE)).decode().split()
    assert psutil.pid_exists(int(grandchild))
    environment.send_signal(number)
    await asyncio.wait_for(environment.wait(), DEADLINE)
    await until_gone(int(child), int(grandchild))
    await until(lambda: not Path(directory).exists())


async def test_a_child_leads_its_own_session_so_that_a_terminal_reaches_only_the_stand() -> None:
    async with workspace() as work:
        child = python(work, FOREVER)
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == child.pid


async def test_a_child_that_ignores_sigterm_is_made_to_end() -> None:
    async with workspace() as work:
        child = python(work, STUBBORN)
        await said(child)
        await child.stop(patience=0.5)
        assert not child.running


async def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_last_words() -> None:
    async with workspace() as work:
        child = python(work, "raise SystemExit('the port is taken')")

        async def never() -> bool:
            return False

        with pytest.raises(StandError, match="the port is taken") as error:
            await child.ready(never, within=DEADLINE)
        assert error.value.code == "part_ended"


async def test_a_child_that_is_never_ready_is_reported() -> None:
    async with workspace() as work:
        child = python(work, FOREVER)

        async def never() -> bool:
            return False

        with pytest.raises(StandError) as error:
            await child.ready(never, within=0.2)
        assert error.value.code == "part_not_ready"


async def test_a_paused_child_does_nothing_until_it_is_resumed() -> None:
    async with workspace() as work:
        child = python(work, BUSY)
        await until(lambda: len(child.tail()) > 1)
        for _ in range(20):
            child.pause()
            written = child.log.stat().st_size
            sum(range(1_000_000))  # gives those time that should not have any
            assert child.log.stat().st_size == written
            child.resume()
            await until(lambda written=written: child.log.stat().st_size > written)


async def test_a_child_paused_while_it_starts_processes_is_paused_whole() -> None:
    for _ in range(20):
        async with workspace() as work:
            child = python(work, FORKING)
            await until(lambda log=child.log: log.stat().st_size > 0, every=0.001)
            child.pause()
            written = child.log.stat().st_size
            sum(range(1_000_000))
            assert child.log.stat().st_size == written


async def test_a_run_that_fails_says_what_it_printed() -> None:
    async with workspace() as work:
        with pytest.raises(StandError, match="no space left"):
            await work.run("copy", [sys.executable, "-c", "raise SystemExit('no space left')"], limit=DEADLINE)


async def test_a_run_that_takes_too_long_is_ended() -> None:
    async with workspace() as work:
        with pytest.raises(StandError) as error:
            await work.run("build", [sys.executable, "-c", FOREVER], limit=0.3)
        assert error.value.code == "too_slow"
        assert not any("sleep(3600)" in " ".join(each.cmdline()) for each in psutil.Process().children(recursive=True))
