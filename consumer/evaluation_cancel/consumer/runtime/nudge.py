"""Waits for an event for a limited time."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Returns once the event is set, or after `seconds`."""
    # Not wait_for: before Python 3.12 it may swallow a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
