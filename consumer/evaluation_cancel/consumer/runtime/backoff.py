"""Exponential backoff with full jitter, for work that must succeed in the end."""

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
"""Seconds. An outage is noticed to be over that soon."""


class Backoff:
    """For one thing that is tried again and again."""

    def __init__(self, *, base: float = BASE, cap: float = CAP) -> None:
        self._base = base
        self._cap = cap
        self._tries = 0
        self._told_at = 0.0

    async def after(self, error: TemporaryError, sentence: str, *, action: str, **ids: object) -> None:
        """Waits before the next try. Logs at most once a second: an outage is not a flood."""
        self._tries += 1
        if time.monotonic() - self._told_at >= 1:
            self._told_at = time.monotonic()
            _log.warning(sentence, action=action, code=error.code, detail=error.detail, tries=self._tries, **ids)
        pause = random.uniform(0, min(self._cap, self._base * 2 ** min(self._tries, 20)))  # noqa: S311
        await asyncio.sleep(max(pause, error.retry_after or 0))

    def over(self) -> None:
        """It worked: the next pause is a first one again."""
        self._tries = 0
