"""Gathers single items into batches, for handlers that are cheap by the batch, such as a SQL statement.

An idle batcher starts at once; a busy one gathers, so a single item does not wait and many go together. `Batcher` does
not retry: errors are the handler's to handle. `BatchCompleter` retries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar

import structlog

from evaluation_cancel.consumer.domain.errors import Unstorable
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle

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
        """Number of items not yet handed to a handler."""
        return len(self._waiting)

    def put(self, item: T) -> None:
        """Adds an item to the next batch."""
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
        """Drops waiting items and cancels running handlers."""
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


_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_AFTER_DEADLINE = 30.0
_HALVINGS = 20
"""More than any batch needs to come down to one row; beyond that the error counts as an outage."""
_log = structlog.get_logger(__name__)


class Leased(Protocol):
    """A row held until about `deadline` on the monotonic clock."""

    @property
    def deadline(self) -> float: ...


Row = TypeVar("Row", bound=Leased)
Result = TypeVar("Result")


class BatchCompleter(Generic[Row, Result]):
    """Writes (row, result) pairs in batches and retries until they are stored or the rows' leases have long ended."""

    def __init__(
        self,
        write: Callable[[Sequence[tuple[Row, Result]]], Awaitable[None]],
        on_written: Callable[[Sequence[tuple[Row, Result]]], None],
        *,
        instead: Callable[[Row, Exception], Result],
        table: str,
        size: int = 500,
        linger: float = 0.002,
        in_flight: int = 2,
    ) -> None:
        """`on_written` is called with each batch, written or given up.

        `instead` returns the result to write for a row whose own result can never be stored; `table` names the rows
        in log lines.
        """
        self._write = write
        self._on_written = on_written
        self._instead = instead
        self._table = table
        self._throttle = LogThrottle()
        self._batches: Batcher[tuple[Row, Result]] = Batcher(
            self._finish, size=size, linger=linger, in_flight=in_flight
        )

    def put(self, row: Row, result: Result) -> None:
        """Adds the result of a row to the next batch."""
        self._batches.put((row, result))

    async def drain(self) -> None:
        """Returns when every result put so far has been written or given up."""
        await self._batches.drain()

    def cancel(self) -> None:
        """Drops every result that is not written yet."""
        self._batches.cancel()

    async def _finish(self, batch: list[tuple[Row, Result]]) -> None:
        failures = 0
        while batch:
            try:
                await self._write(batch)
            except (Unstorable, ValueError) as error:
                # A ValueError is a value that an event cannot hold; halving finds the row it belongs to.
                self._log_failure(error, len(batch))
                if len(batch) > 1:
                    await self._finish(batch[: len(batch) // 2])
                    batch = batch[len(batch) // 2 :]
                else:
                    batch = [(row, self._instead(row, error)) for row, _ in batch]
                failures += 1
                if failures <= _HALVINGS:
                    continue
            except Exception as error:  # noqa: BLE001  # the rows are still held, so any error is retried
                failures += 1
                self._log_failure(error, len(batch))
            else:
                break
            await asyncio.sleep(jittered_delay(failures, base=_FIRST_PAUSE, cap=_LONGEST_PAUSE, least_share=0.5))
            batch = self._still_held(batch)
        self._on_written(batch)

    def _still_held(self, batch: list[tuple[Row, Result]]) -> list[tuple[Row, Result]]:
        oldest = time.monotonic() - _AFTER_DEADLINE
        held = [pair for pair in batch if pair[0].deadline > oldest]
        if len(held) < len(batch):
            self._on_written([pair for pair in batch if pair[0].deadline <= oldest])
        return held

    def _log_failure(self, error: Exception, count: int) -> None:
        self._throttle.log(
            _log,
            type(error).__name__,
            "Outcomes could not be written yet.",
            action="finish_failed",
            what=self._table,
            rows=count,
            detail=f"{type(error).__name__}: {error}"[:300],
        )
