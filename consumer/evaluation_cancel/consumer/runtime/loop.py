"""The base class of every long-running loop: how it is nudged and stopped, and how it reports progress."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.runtime.backoff import Backoff
from evaluation_cancel.consumer.runtime.nudge import wait_at_most


class Loop(ABC):
    """Runs rounds of work until stopped. All methods are for the event loop's own thread.

    A typical `run` is `while self.next_round(): ...; await self.wait(seconds)`.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._nudged = asyncio.Event()
        self.progressed_at = time.monotonic()
        """Time of the last progress on the monotonic clock, for the health check. In the future during a wait."""

    @abstractmethod
    async def run(self) -> None:
        """Returns after `stop`, once the work in flight is finished. Raises on a fault: run it again."""

    def nudge(self) -> None:
        """There may be work: ends the current wait."""
        self._nudged.set()

    def stop(self) -> None:
        """Starts no more rounds and ends the current wait."""
        self._stopping = True
        self._nudged.set()

    def next_round(self) -> bool:
        """False once stopped. Forgets earlier nudges: a nudge during the round ends the wait after it."""
        if self._stopping:
            return False
        self._nudged.clear()
        return True

    async def wait(self, seconds: float) -> None:
        """Returns when nudged, when stopped, or after `seconds`. A loop that waits makes progress."""
        self.progressed_at = time.monotonic() + seconds
        await wait_at_most(self._nudged, seconds)
        self.progressed()

    async def wait_for_retry(self, backoff: Backoff, error: TemporaryError, sentence: str, *, action: str) -> None:
        """Waits before the next try of what an outage prevented. However long that lasts, the loop makes progress."""
        self.progressed()
        await backoff.sleep(error, sentence, action=action)

    def progressed(self) -> None:
        """Records progress for the health check."""
        self.progressed_at = time.monotonic()
