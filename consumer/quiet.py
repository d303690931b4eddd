"""Lets through one log line a second for each thing that goes wrong, however often it does.

An outage hits every call and every row at once; the first line tells it, the count of those held back tells how much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Quiet:
    """`allow` answers how many were held back since the last line, or None to hold this one back too."""

    def __init__(self, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._last: dict[Hashable, float] = {}
        self._held_back: dict[Hashable, int] = {}

    def allow(self, key: Hashable) -> int | None:
        now = self._clock()
        last = self._last.get(key)
        if last is not None and now - last < self._every:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return None
        if len(self._last) > 1000:  # noqa: PLR2004  # keys are few; a mistake must not grow for ever
            self._last.clear()
        self._last[key] = now
        return self._held_back.pop(key, 0)
