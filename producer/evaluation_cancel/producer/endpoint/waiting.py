"""Waits for the outcome of commands: all waiting requests of this process share one repeated query.

The query runs every 25 to 100 ms, less often when it takes longer, and only while a request waits. An outage of
Postgres ends no wait: the query is repeated until it succeeds or the waits end. `answers.py` builds the answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from evaluation_cancel.producer.endpoint.store import CommandSeen, StoreUnavailable

_log = structlog.get_logger(__name__)
SHARE: Final = 10
"""A query is followed by a pause of so many times its own duration, within the bounds: a tenth of the time at most."""
OUTAGE_PAUSE: Final = 1.0
"""Seconds; as many as lie between two lines about it."""
IDS_A_QUERY: Final = 5000


class AnswerStore(Protocol):
    """What is asked of the store."""

    async def answers(self, source: str, ids: Sequence[str]) -> dict[str, CommandSeen]:
        """Those of the commands that are recorded. Raises StoreUnavailable."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiter:
    enough: Callable[[CommandSeen], bool]
    seen: CommandSeen | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, row: CommandSeen) -> None:
        self.seen = row
        if self.enough(row):
            self.done.set()


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitLimits:
    """See the settings of these names."""

    waits: int
    waits_per_caller: int
    shortest_poll: float
    longest_poll: float


class Waiting:
    """All who wait. `polled` is told of each query: whether it succeeded, and its seconds."""

    def __init__(
        self,
        store: AnswerStore,
        source: str,
        limits: WaitLimits,
        *,
        polled: Callable[[bool, float], None] = lambda _ok, _seconds: None,
    ) -> None:
        self._store = store
        self._source = source
        self._limits = limits
        self._polled = polled
        self._waiters: dict[str, list[_Waiter]] = {}
        self._by_caller: Counter[object] = Counter()
        self._reader: asyncio.Task[None] | None = None
        self._ends_at = float("inf")

    @property
    def count(self) -> int:
        return self._by_caller.total()

    def end_by(self, moment: float) -> None:
        """No wait lasts longer than to this moment of `time.monotonic()`. What is known then is the answer."""
        self._ends_at = moment
        asyncio.get_running_loop().call_later(max(0.0, moment - time.monotonic()), self._end_all)

    def _end_all(self) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.done.set()

    async def wait(
        self, command_id: str, enough: Callable[[CommandSeen], bool], *, caller: object, seconds: float
    ) -> CommandSeen | None:
        """What is known of the command: as soon as it is enough, else when the time is over. None: nothing.

        When too many wait already, this one has no time.
        """
        if self.count >= self._limits.waits or self._by_caller[caller] >= self._limits.waits_per_caller:
            seconds = 0
        seconds = min(seconds, self._ends_at - time.monotonic())
        if seconds <= 0:
            return await self.look(command_id)
        waiter = _Waiter(enough=enough)
        self._add(command_id, waiter, caller)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter.done.wait()
        finally:
            self._remove(command_id, waiter, caller)
        return waiter.seen

    async def look(self, command_id: str) -> CommandSeen | None:
        """What is known of the command now; None: nothing, or Postgres is away."""
        try:
            return (await self._ask([command_id])).get(command_id)
        except StoreUnavailable:
            return None

    async def close(self) -> None:
        self.end_by(time.monotonic())
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _add(self, command_id: str, waiter: _Waiter, caller: object) -> None:
        self._waiters.setdefault(command_id, []).append(waiter)
        self._by_caller[caller] += 1
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_while_needed(), name="waiting")

    def _remove(self, command_id: str, waiter: _Waiter, caller: object) -> None:
        left = [each for each in self._waiters[command_id] if each is not waiter]
        if left:
            self._waiters[command_id] = left
        else:
            del self._waiters[command_id]
        self._by_caller[caller] -= 1
        if self._by_caller[caller] == 0:
            del self._by_caller[caller]

    async def _read_while_needed(self) -> None:
        try:
            while self._waiters:
                started = time.monotonic()
                try:
                    await self._read()
                except StoreUnavailable as error:
                    _log.warning("Postgres does not answer: waits go on.", action="answers_delayed", error=str(error))
                    await asyncio.sleep(OUTAGE_PAUSE)
                # All waiting requests depend on this loop, so it must survive every error.
                except Exception:  # noqa: BLE001
                    _log.exception("The answers could not be read: waits go on.", action="answers_failed")
                    await asyncio.sleep(OUTAGE_PAUSE)
                took = time.monotonic() - started
                await asyncio.sleep(min(self._limits.longest_poll, max(self._limits.shortest_poll, took * SHARE)))
        finally:
            self._reader = None

    async def _read(self) -> None:
        ids = list(self._waiters)
        for begin in range(0, len(ids), IDS_A_QUERY):
            seen = await self._ask(ids[begin : begin + IDS_A_QUERY])
            for command_id, row in seen.items():
                for waiter in self._waiters.get(command_id, ()):
                    waiter.see(row)

    async def _ask(self, ids: Sequence[str]) -> dict[str, CommandSeen]:
        started = time.monotonic()
        try:
            seen = await self._store.answers(self._source, ids)
        except StoreUnavailable:
            self._polled(False, time.monotonic() - started)
            raise
        self._polled(True, time.monotonic() - started)
        return seen
