"""Runs one command of the command line to its end. An expected failure becomes one sentence and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from rich.console import Console

from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.schemas.plain_text import visible

T = TypeVar("T")


_PIPED_WIDTH: Final = 10_000


def console() -> Console:
    """Standard output. Into a file or a pipe lines have their own length and are not broken at 80 columns."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, markup=False)


def run_for_terminal(work: Coroutine[Any, Any, T], *, failure_code: int = 1) -> T:
    """Return the result of `work`, or print its `CancellationError` on standard error and exit with `failure_code`."""
    # Kafka's client also logs the failures that it raises. Without a handler they would be printed a second time.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        return asyncio.run(work)
    except CancellationError as error:
        print(*map(visible, str(error).split("\n")), sep="\n", file=sys.stderr)  # noqa: T201  # the command's answer
    except BrokenPipeError:
        # The reader of the output is gone. Discard the rest, or Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(failure_code)
