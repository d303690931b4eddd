"""Waits for a condition, with a deadline. Tests use it instead of sleeping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

DEADLINE = 60.0
"""Seconds. Long, because only a failing test waits that long."""

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T] | T], what: str = "", *, within: float = DEADLINE, every: float = 0.02
) -> T:
    """Call `look` every `every` seconds until its result is true, and return the result.

    Raises `TimeoutError` with `what` and the last result after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        answer = look()
        seen: T = await answer if inspect.isawaitable(answer) else answer
        if seen:
            return seen
        if loop.time() > deadline:
            awaited = what or inspect.getsource(look).strip()
            raise TimeoutError(f"after {within:g} s still not: {awaited} (last seen: {seen!r})")
        await asyncio.sleep(every)
