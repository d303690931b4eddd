"""Runs one command of the command line to its end. An expected failure becomes one sentence and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from evaluation_cancel.consumer.domain.errors import CancellationError

T = TypeVar("T")


def run_for_terminal(work: Coroutine[Any, Any, T], *, failure_code: int = 1) -> T:
    """Return the result of `work`, or print its `CancellationError` on standard error and exit with `failure_code`."""
    # Kafka's client also logs the failures that it raises. Without a handler they would be printed a second time.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        return asyncio.run(work)
    except CancellationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the command's answer
    except BrokenPipeError:
        # The reader of the output is gone. Discard the rest, or Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(failure_code)
