"""Keeps the loops of a process running: each alone, started again after a fault, stopped in order.

A fault of one loop never stops another. What it had in hand is a row in Postgres, so starting it anew loses nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle

_log = structlog.get_logger(__name__)
_LONGEST_PAUSE = 10.0
_UNHEALTHY_AFTER = 60.0
"""Seconds without progress after which a loop is not healthy. Begun anew counts as progress: outages are no reason."""


class Loop(Protocol):
    """Something that runs until told to stop."""

    @property
    def progressed_at(self) -> float:
        """`time.monotonic()` of its last progress."""

    async def run(self) -> None:
        """Until `stop`; raises after a fault."""

    def stop(self) -> None:
        """Ends `run` once what is in hand is finished."""


class Supervisor:
    """Runs loops by name."""

    def __init__(self, loops: Sequence[tuple[str, Loop]], *, restarted: Callable[[str], None]) -> None:
        self._loops = dict(loops)
        self._restarted = restarted
        self._throttle = LogThrottle()
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turned_at: dict[str, float] = {}

    def start(self) -> None:
        for name, loop in self._loops.items():
            self._tasks[name] = asyncio.create_task(self._keep_running(name, loop), name=name)

    async def stop(self, timeout: float) -> bool:  # noqa: ASYNC109  # one deadline for the loops one after the other
        """Stops the loops in the order they were given; True if all had finished what they had in hand."""
        self._stopping.set()
        until = time.monotonic() + timeout
        for name, loop in self._loops.items():
            loop.stop()
            # Half of what is left: one that an outage holds must not take the time of those behind it.
            await asyncio.wait([self._tasks[name]], timeout=max(0.1, (until - time.monotonic()) / 2))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=max(0.1, until - time.monotonic()))
        left = [name for name, task in self._tasks.items() if not task.done()]
        for name in left:
            self._tasks[name].cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if left:
            _log.warning("Not all was finished in time; leases cover it.", action="stop_cut_short", loops=left)
        return not left

    def standing_still(self) -> list[str]:
        """Loops that have neither made progress nor been started anew for a while: this process is of no use then."""
        now = time.monotonic()
        return [
            name
            for name, loop in self._loops.items()
            if now - max(loop.progressed_at, self._turned_at.get(name, 0)) > _UNHEALTHY_AFTER
        ]

    async def _keep_running(self, name: str, loop: Loop) -> None:
        faults = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                await loop.run()
            except Exception as error:  # noqa: BLE001  # whatever it is, the loop begins anew and the others go on
                faults = 1 if time.monotonic() - begun > _UNHEALTHY_AFTER else faults + 1
                self._tell(name, error)
                self._restarted(name)
                self._turned_at[name] = time.monotonic()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause(faults)):
                        await self._stopping.wait()
            else:
                return

    def _pause(self, faults: int) -> float:
        return random.uniform(0.1, min(_LONGEST_PAUSE, 0.2 * 2**faults))  # noqa: S311  # jitter, not a secret

    def _tell(self, name: str, error: Exception) -> None:
        if self._throttle.allow((name, type(error))) is None:
            return
        if isinstance(error, TemporaryError):
            _log.warning(
                "A loop met an outage and begins anew.",
                action="loop_restarted",
                loop=name,
                code=error.code,
                detail=error.detail,
            )
        else:
            _log.error("A loop failed and begins anew.", action="loop_failed", loop=name, exc_info=error)
