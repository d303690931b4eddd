"""A watch as one of the loops that a supervisor keeps running."""

from __future__ import annotations

import asyncio
import time

from consumer.watch import ClusterWatch


class UntilStopped:
    """A watch as a loop: it has nothing in hand, so that stopping it is cancelling it."""

    def __init__(self, watch: ClusterWatch) -> None:
        self._watch = watch
        self._stopped = asyncio.Event()

    @property
    def progressed_at(self) -> float:
        """Always now: losing a watch only makes things slower, which is no reason to restart a process."""
        return time.monotonic()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        watching = asyncio.ensure_future(self._watch.run())
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            stopping.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
