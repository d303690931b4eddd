"""How an audit command runs from the terminal: its work to the end, and what cannot be done as a sentence."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from rich.console import Console

from consumer.errors import CancellationError

T = TypeVar("T")
CANNOT: Final = 2
"""Exit code: the question could not be answered. 1 is for verify's answer that there are defects."""


def ask(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except CancellationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the answer to the person at the terminal
        raise SystemExit(CANNOT) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def screen() -> Console:
    """For sentences and progress, so that standard output holds the answer alone."""
    return Console(stderr=True)
