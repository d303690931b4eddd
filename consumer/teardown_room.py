"""Room in the teardown's lanes for cancellations that are only being opened; see `handover.py`.

It is closed while anything due waits in Postgres: that comes first, a fair share for each team. The loop says when.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from consumer.cancellations import ClaimedCancellation
from consumer.teardown_lane import Lane

_MOST_PATIENCE = 0.2
"""Seconds that intake waits for room at most: a slow cluster must not hold decisions up."""


class Room:
    """`place` puts a row to work for which room was reserved."""

    def __init__(self, lanes: Mapping[str, Lane], place: Callable[[ClaimedCancellation], None]) -> None:
        self._lanes = lanes
        self._place = place
        self._open = False
        self._freed = asyncio.Event()

    def open_if(self, nothing_due: bool) -> None:
        """After a look into Postgres."""
        self._open = nothing_due
        if nothing_due:
            self._freed.set()

    def close(self) -> None:
        self._open = False

    def freed(self) -> None:
        """A row has left its lane."""
        self._freed.set()

    def reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        """For which of so many new cancellations there is room; it is kept until they are taken, or freed."""
        return [self._open and self._reserve(cluster) for cluster in clusters]

    def _reserve(self, cluster: str | None) -> bool:
        if cluster is None:
            return True
        lane = self._lanes.get(cluster)
        if lane is None:
            return False  # some other process's business
        if lane.room() <= 0:
            self._open = False  # from now on something waits
            return False
        lane.held += 1
        return True

    def free(self, clusters: Sequence[str | None]) -> None:
        for cluster in clusters:
            if cluster is not None:
                self._lanes[cluster].held -= 1

    def take(self, rows: Sequence[ClaimedCancellation]) -> None:
        for row in rows:
            self._place(row)

    async def roomy(self) -> None:
        """Returns when new cancellations would find room, or after a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOST_PATIENCE):
                while not self._open or any(lane.is_busy() for lane in self._lanes.values()):
                    self._freed.clear()
                    await self._freed.wait()
