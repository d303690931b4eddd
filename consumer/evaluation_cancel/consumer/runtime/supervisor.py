"""Keeps the loops of a process running: restarts each one after a fault, and one that hangs; stops all in order.

A fault of one loop never stops another. Its work in flight is rows in Postgres, so a restart loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.runtime.nudge import wait_at_most

_log = structlog.get_logger(__name__)
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_HANGS_AFTER = 60.0
"""Seconds without progress after which a loop is cancelled and run again. Whoever waits for a dependency progresses.
After twice that time the process needs a restart: running the loop again did not help."""
_LOOKS_EVERY = 1.0
_ENDS_WITHIN = 10.0
"""Seconds for a cancelled loop to end. One that does not is not run a second time beside itself."""


class _HangsError(Exception):
    """A loop made no progress and was cancelled."""


class Supervisor:
    """Runs loops by name. `on_restarted` is called with the name of each loop that is restarted."""

    def __init__(
        self,
        loops: Sequence[tuple[str, Loop]],
        *,
        on_restarted: Callable[[str], None],
        hangs_after: float = _HANGS_AFTER,
    ) -> None:
        self._loops = dict(loops)
        self._on_restarted = on_restarted
        self._hangs_after = hangs_after
        self._throttle = LogThrottle()
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._restarted_at: dict[str, float] = {}

    def start(self) -> None:
        """Starts every loop as a task of its own."""
        for name, loop in self._loops.items():
            self._tasks[name] = asyncio.create_task(self._keep_running(name, loop), name=name)

    async def stop(self, timeout: float) -> bool:  # noqa: ASYNC109  # one deadline for the loops one after the other
        """Stops the loops in the order they were given; True if all finished their work in flight in time."""
        self._stopping.set()
        until = time.monotonic() + timeout
        for name, loop in self._loops.items():
            loop.stop()
            # Half of the remaining time: a loop that an outage delays must leave time for those after it.
            await asyncio.wait([self._tasks[name]], timeout=max(0.1, (until - time.monotonic()) / 2))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=max(0.1, until - time.monotonic()))
        left = [name for name, task in self._tasks.items() if not task.done()]
        for name in left:
            self._tasks[name].cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if left:
            _log.warning("Not every loop finished in time; leases cover its rows.", action="stop_cut_short", loops=left)
        return not left

    def standing_still(self) -> list[str]:
        """Names of the loops that made no progress for two minutes, although they were run again after the first."""
        now = time.monotonic()
        return [
            name
            for name, loop in self._loops.items()
            if now - max(loop.progressed_at, self._restarted_at.get(name, 0)) > 2 * self._hangs_after
        ]

    async def _keep_running(self, name: str, loop: Loop) -> None:
        faults = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                await self._run_watched(name, loop)
            except Exception as error:  # noqa: BLE001  # any fault restarts this loop only
                faults = 1 if time.monotonic() - begun > _HANGS_AFTER else faults + 1
                self._log_restart(name, error)
                self._on_restarted(name)
                if not isinstance(error, _HangsError):
                    self._restarted_at[name] = time.monotonic()
                await wait_at_most(self._stopping, self._pause(faults))
            else:
                return

    async def _run_watched(self, name: str, loop: Loop) -> None:
        """Runs the loop once. Cancels it and raises when it makes no progress."""
        begun, hung = time.monotonic(), False
        task = asyncio.create_task(loop.run(), name=f"{name} run")
        try:
            while not task.done():
                await asyncio.wait([task], timeout=min(_LOOKS_EVERY, self._hangs_after))
                if not task.done() and time.monotonic() - max(begun, loop.progressed_at) > self._hangs_after:
                    hung = True
                    await self._cancel(name, task)
                    begun = time.monotonic()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if hung:
            raise _HangsError(f"no progress for {self._hangs_after:g} s")
        if task.cancelled():  # a client library may cancel its caller: aiokafka does around an outage
            raise RuntimeError("the loop was cancelled from inside")
        task.result()

    async def _cancel(self, name: str, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task], timeout=_ENDS_WITHIN)
        if not task.done():
            _log.error(
                "A loop hangs and cannot be cancelled; the process needs a restart.", action="loop_hangs", loop=name
            )

    def _pause(self, faults: int) -> float:
        return max(_SHORTEST_PAUSE, jittered_delay(faults, base=2 * _SHORTEST_PAUSE, cap=_LONGEST_PAUSE))

    def _log_restart(self, name: str, error: Exception) -> None:
        fields: dict[str, Any] = {"action": "loop_failed", "exc_info": error}
        if isinstance(error, _HangsError):
            fields = {"action": "loop_hung", "detail": str(error)}
        sentence, level = "A loop failed and is restarted.", logging.ERROR
        if isinstance(error, TemporaryError):
            fields = {"action": "loop_restarted", "code": error.code, "detail": error.detail}
            sentence, level = "A loop met an outage and is restarted.", logging.WARNING
        self._throttle.log(_log, (name, type(error)), sentence, level=level, loop=name, **fields)
