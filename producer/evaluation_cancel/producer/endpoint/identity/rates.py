"""Limits the requests of each caller: a bucket of permits for each subject, filled at a steady rate.

Each process counts for itself; replicas share nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

CALLERS: Final = 10_000
"""Buckets kept; the one unused for longest goes first, and its caller has a full one next time."""


class TooManyRequests(Exception):  # noqa: N818 - an answer, not a fault
    """The caller's permits are used up for now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next permit comes in {seconds:.3f} s")
        self.seconds = seconds


class Rates:
    """Permits for all callers."""

    def __init__(
        self, *, per_second: float, burst: int, callers: int = CALLERS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._callers = callers
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable) -> None:
        """Takes a permit of this caller's, or raises TooManyRequests."""
        now = self._clock()
        left, at = self._buckets.pop(caller, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_second)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequests((1 - left) / self._per_second)
