"""Interrupts an archiver at a chosen moment. Moments are before and after each await on its store or its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from evaluation_cancel.consumer.audit.kafka.reading import Partition, Read
from tests.support.fakes.audit import MemoryLog, MemoryStore


class Moments:
    """Counts the moments of one archiver, and interrupts it.

    At moment `dies_at` it raises `dies_of`. At each moment it yields to other tasks for the next number of `turns`.
    """

    def __init__(self, *, dies_at: int = 0, dies_of: BaseException | None = None, turns: Sequence[int] = ()) -> None:
        self.count = 0
        self._dies_at = dies_at
        self._dies_of = dies_of
        self._turns: Iterator[int] = iter(turns)

    async def pass_one(self) -> None:
        for _ in range(next(self._turns, 0)):
            await asyncio.sleep(0)
        self.count += 1
        if self.count == self._dies_at and self._dies_of is not None:
            raise self._dies_of


class WatchedStore:
    """A store whose calls pass the moments of one archiver."""

    def __init__(self, store: MemoryStore, moments: Moments) -> None:
        self._store = store
        self._moments = moments

    async def get(self, key: str) -> bytes | None:
        await self._moments.pass_one()
        found = await self._store.get(key)
        await self._moments.pass_one()
        return found

    async def create(self, key: str, body: bytes) -> bool:
        await self._moments.pass_one()
        new = await self._store.create(key, body)
        await self._moments.pass_one()
        return new

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        async for key in self._store.keys(prefix, after):
            await self._moments.pass_one()
            yield key

    async def any_key(self, prefix: str, after: str) -> bool:
        await self._moments.pass_one()
        return await self._store.any_key(prefix, after)


class WatchedLog(MemoryLog):
    """A log whose calls pass the moments of one archiver."""

    def __init__(self, contents: Any, moments: Moments, *, at_once: int = 3) -> None:
        super().__init__(contents, at_once=at_once)
        self._moments = moments

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        await self._moments.pass_one()
        return await super().bounds()

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ASYNC109
        await self._moments.pass_one()
        found = await super().read(timeout, only=only)
        await self._moments.pass_one()
        return found
