"""Limits how often one kind of log line is written: at most once a second at first, less often while it repeats.

An outage affects every call and every row at once. The first line reports it, and the count of suppressed lines in
the next one shows its extent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

_LONGEST: Final = 10.0
_CALM: Final = 10.0
"""Seconds without a line after which the interval starts short again."""


@dataclass(slots=True)
class _Line:
    at: float
    pause: float
    suppressed: int = 0


class LogThrottle:
    """Counts and suppresses repeated lines, for each key on its own."""

    def __init__(self, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._last: dict[Hashable, _Line] = {}

    def log(self, logger: Any, key: Hashable, sentence: str, *, level: int = logging.WARNING, **fields: Any) -> None:
        """Writes the line with the count of those suppressed before it, or suppresses this one too."""
        suppressed = self.allow(key)
        if suppressed is not None:
            logger.log(level, sentence, **fields, suppressed=suppressed)

    def allow(self, key: Hashable) -> int | None:
        """Returns how many lines were suppressed since the last one, or None to suppress this one too."""
        now = self._clock()
        last = self._last.get(key)
        if last is not None and now - last.at < last.pause:
            last.suppressed += 1
            return None
        goes_on = last is not None and now - last.at < last.pause + _CALM
        pause = min(_LONGEST, last.pause * 2) if last is not None and goes_on else self._every
        if len(self._last) > 1000:  # noqa: PLR2004  # keys are few; a mistake must not grow for ever
            self._last.clear()
        self._last[key] = _Line(at=now, pause=pause)
        return 0 if last is None else last.suppressed
