"""How an audit command runs from the terminal: its work to the end, and what cannot be done as a sentence."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from rich.console import Console

from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely

T = TypeVar("T")
CANNOT: Final = 2
"""Exit code: the question could not be answered. 1 is for verify's answer that there are defects."""


def ask(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. Clients' own complaints go to a log, where one is configured, and not to the terminal."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    search_rarely()
    try:
        return asyncio.run(work)
    except CancellationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the answer to the person at the terminal
        raise SystemExit(CANNOT) from None
    except BrokenPipeError:
        # Whoever reads our output has seen enough; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CANNOT) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def screen() -> Console:
    """For sentences and progress, so that standard output holds the answer alone."""
    return Console(stderr=True)
