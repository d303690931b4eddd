"""The queue of a controller: keys to look at soon, each once however often it was added, one after the other.

It can be paused (the controller process is stopped) and slowed down (its caches lag behind). What is done with a
key is the controller's business.
"""

import asyncio
import itertools
from collections.abc import Callable

_AT_ONCE = 16


class WorkQueue:
    """Runs `process(key)` later, in the order of `add`."""

    def __init__(self, process: Callable[[str], None]) -> None:
        self.lag = 0.0
        """Seconds between an event and the controller's reaction."""
        self._process = process
        self._keys: dict[str, None] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._wake = asyncio.Event()
        self._going = asyncio.Event()
        self._going.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, key: str, *, after: float = 0.0) -> None:
        delay = after + self.lag
        if delay > 0:
            self.later(delay, lambda: self._enqueue(key))
        else:
            self._enqueue(key)

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` after `delay` seconds unless the queue is stopped before."""
        loop = asyncio.get_running_loop()

        def fire() -> None:
            self._timers.discard(timer)
            action()

        timer = loop.call_later(delay, fire)
        self._timers.add(timer)

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    def _enqueue(self, key: str) -> None:
        self._keys[key] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await self._going.wait()
            if not self._keys:
                self._wake.clear()
                continue
            for key in list(itertools.islice(self._keys, _AT_ONCE)):
                del self._keys[key]
                self._process(key)
            await asyncio.sleep(0)
