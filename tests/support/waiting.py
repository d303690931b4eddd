"""Waiting for a condition with a deadline: no test sleeps for luck."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

DEADLINE = 60.0
"""Seconds; generous, because only a failing test waits for all of them."""

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T] | T], what: str = "", *, within: float = DEADLINE, every: float = 0.02
) -> T:
    """Look again and again until what is seen is true, and give that; TimeoutError says what never came."""
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
