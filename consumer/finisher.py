"""Writes what came of claimed rows, in batches, and does not let go of them while Postgres is away.

Writing twice is harmless, because a row's attempt number is compared; so a batch whose fate is unknown is simply
written again. Past its lease another process has the row, and there is nothing left to say.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from consumer.batching import Batcher
from consumer.errors import Unstorable
from consumer.quiet import Quiet

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_AFTER_DEADLINE = 30.0
_HALVINGS = 20
"""As many as any batch takes to come down to one row; beyond that it is a fault like any other."""
_log = structlog.get_logger(__name__)


class Leased(Protocol):
    """A row held until about `deadline` on the monotonic clock."""

    @property
    def deadline(self) -> float: ...


Row = TypeVar("Row", bound=Leased)
Result = TypeVar("Result")


class Finisher(Generic[Row, Result]):
    """Takes (row, result) pairs; `written` is called with each batch, whether it was written or given up."""

    def __init__(
        self,
        write: Callable[[Sequence[tuple[Row, Result]]], Awaitable[None]],
        written: Callable[[Sequence[tuple[Row, Result]]], None],
        *,
        instead: Callable[[Row, Exception], Result],
        what: str,
        size: int = 500,
        linger: float = 0.002,
        in_flight: int = 2,
    ) -> None:
        """`instead` gives what is written of a row whose result can never be stored."""
        self._write = write
        self._written = written
        self._instead = instead
        self._what = what
        self._quiet = Quiet()
        self._batches: Batcher[tuple[Row, Result]] = Batcher(
            self._finish, size=size, linger=linger, in_flight=in_flight
        )

    def put(self, row: Row, result: Result) -> None:
        self._batches.put((row, result))

    async def drain(self) -> None:
        await self._batches.drain()

    def cancel(self) -> None:
        self._batches.cancel()

    async def _finish(self, batch: list[tuple[Row, Result]]) -> None:
        failures = 0
        while batch:
            try:
                await self._write(batch)
            except (Unstorable, ValueError) as error:
                # A ValueError is a value that an event cannot hold; whose it is, halving finds out.
                self._tell(error, len(batch))
                if len(batch) > 1:
                    await self._finish(batch[: len(batch) // 2])
                    batch = batch[len(batch) // 2 :]
                else:
                    batch = [(row, self._instead(row, error)) for row, _ in batch]
                failures += 1
                if failures <= _HALVINGS:
                    continue
            except Exception as error:  # noqa: BLE001  # whatever it is, the rows are still held
                failures += 1
                self._tell(error, len(batch))
            else:
                break
            await asyncio.sleep(_pause(failures))
            batch = self._still_held(batch)
        self._written(batch)

    def _still_held(self, batch: list[tuple[Row, Result]]) -> list[tuple[Row, Result]]:
        oldest = time.monotonic() - _AFTER_DEADLINE
        held = [pair for pair in batch if pair[0].deadline > oldest]
        if len(held) < len(batch):
            self._written([pair for pair in batch if pair[0].deadline <= oldest])
        return held

    def _tell(self, error: Exception, count: int) -> None:
        held_back = self._quiet.allow(type(error).__name__)
        if held_back is not None:
            _log.warning(
                "Outcomes could not be written yet.",
                action="finish_failed",
                what=self._what,
                rows=count,
                detail=f"{type(error).__name__}: {error}"[:300],
                held_back=held_back,
            )


def _pause(failures: int) -> float:
    return random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 10))  # noqa: S311
