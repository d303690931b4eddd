"""Gathers single items into batches for something that is cheap by the batch, such as a SQL statement.

It starts at once when idle and gathers while busy, so that a lone item does not wait and a crowd goes together. It
does not retry: what is handed over is the handler's, errors included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import structlog

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Batcher(Generic[T]):
    """At most `in_flight` batches of at most `size` items are being handled at any time."""

    def __init__(
        self,
        handle: Callable[[list[T]], Coroutine[Any, Any, None]],
        *,
        size: int = 500,
        linger: float = 0.002,
        in_flight: int = 1,
    ) -> None:
        self._handle = handle
        self._size = size
        self._linger = linger
        self._in_flight = in_flight
        self._waiting: list[T] = []
        self._timer: asyncio.Handle | None = None
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Items that no handler has yet."""
        return len(self._waiting)

    def put(self, item: T) -> None:
        self._waiting.append(item)
        if self._timer is None and len(self._running) < self._in_flight:
            loop = asyncio.get_running_loop()
            # Without a linger, whatever comes up in this turn of the event loop goes together.
            self._timer = loop.call_later(self._linger, self._start) if self._linger else loop.call_soon(self._start)
        elif len(self._waiting) >= self._size and len(self._running) < self._in_flight:
            self._start()

    async def drain(self) -> None:
        """Returns when everything put so far has been handled."""
        while self._waiting or self._running:
            self._start()
            if self._running:
                await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)

    def cancel(self) -> None:
        """Drops what waits and ends what runs."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._running:
            task.cancel()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and len(self._running) < self._in_flight:
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            task = asyncio.get_running_loop().create_task(self._handle(batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A batch was lost to an error.", action="batch_lost", exc_info=error)
        if self._waiting and self._timer is None:
            self._start()
