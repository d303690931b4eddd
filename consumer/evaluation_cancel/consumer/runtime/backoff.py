"""Exponential backoff with jitter, for work that must succeed in the end: the delay before every retry."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

import structlog

from evaluation_cancel.consumer.domain.errors import TemporaryError

_log = structlog.get_logger(__name__)

BASE: Final = 0.05
"""Seconds. The first pause is short: a deadlock or a lost race is over at once."""
CAP: Final = 5.0
"""Seconds. The longest pause, so the end of an outage is noticed within it."""
_MOST_DOUBLINGS: Final = 30


def jittered_delay(failures: int, *, base: float, cap: float, least_share: float = 0.0) -> float:
    """Seconds to wait after so many failures: random between `least_share` of the bound and the bound.

    The bound is `base`, doubled for each failure, and at most `cap`.
    """
    bound = min(cap, base * 2.0 ** min(max(failures, 0), _MOST_DOUBLINGS))
    return random.uniform(least_share * bound, bound)  # noqa: S311  # jitter, not a secret


class Backoff:
    """The pauses of one operation that is retried until it succeeds."""

    def __init__(self, *, base: float = BASE, cap: float = CAP) -> None:
        self._base = base
        self._cap = cap
        self._failures = 0
        self._logged_at = 0.0

    async def sleep(self, error: TemporaryError, sentence: str, *, action: str, **ids: object) -> None:
        """Waits before the next try, at least as long as the error's `retry_after`. Logs at most once a second."""
        self._failures += 1
        if time.monotonic() - self._logged_at >= 1:
            self._logged_at = time.monotonic()
            _log.warning(sentence, action=action, code=error.code, detail=error.detail, tries=self._failures, **ids)
        delay = jittered_delay(self._failures, base=self._base, cap=self._cap)
        await asyncio.sleep(max(delay, error.retry_after or 0))

    def reset(self) -> None:
        """Call after a success: the next pause is a first one again."""
        self._failures = 0
