"""Ports that are given out: to one taker only, also among processes."""

import random
import socket
import sys

import pytest

from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import workspace
from tests.support.waiting import until

TAKER = (
    "import time; from deploy.local.processes.ports import free_port; print(free_port(), flush=True); time.sleep(3600)"
)


def offer(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    monkeypatch.setattr(random, "sample", lambda *_: list(ports))


async def test_a_port_that_another_process_was_given_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = free_port()
    async with workspace() as work:
        taker = work.start("taker", [sys.executable, "-c", TAKER])
        theirs = int(await until(taker.tail))
        offer(monkeypatch, theirs, mine)
        with pytest.raises(OSError, match="no free port"):
            free_port()
        taker.kill()
        assert free_port() == theirs


def test_a_port_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        offer(monkeypatch, listener.getsockname()[1])
        with pytest.raises(OSError, match="no free port"):
            free_port()
