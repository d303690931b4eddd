"""Waiting for a condition with a deadline, for tests of things that happen in their own time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE = 60.0


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, *, within: float = DEADLINE) -> None:
    """Returns once `condition` holds; fails with `what` was awaited if it never does."""
    end = time.monotonic() + within
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, f"after {within:g} s still not: {what}"
        await asyncio.sleep(0.01)
