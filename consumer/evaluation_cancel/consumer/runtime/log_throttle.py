"""Lets through a line for each thing that goes wrong, a second apart at first, and rarer the longer it goes on.

An outage hits every call and every row at once; the first line tells it, the count of those held back tells how much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 10.0
_CALM: Final = 10.0
"""Seconds without a word after which the next one is news again."""


@dataclass(slots=True)
class _Told:
    at: float
    pause: float
    suppressed: int = 0


class LogThrottle:
    """`allow` answers how many were held back since the last line, or None to hold this one back too."""

    def __init__(self, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._told: dict[Hashable, _Told] = {}

    def allow(self, key: Hashable) -> int | None:
        now = self._clock()
        told = self._told.get(key)
        if told is not None and now - told.at < told.pause:
            told.suppressed += 1
            return None
        goes_on = told is not None and now - told.at < told.pause + _CALM
        pause = min(_LONGEST, told.pause * 2) if told is not None and goes_on else self._every
        if len(self._told) > 1000:  # noqa: PLR2004  # keys are few; a mistake must not grow for ever
            self._told.clear()
        self._told[key] = _Told(at=now, pause=pause)
        return 0 if told is None else told.suppressed
