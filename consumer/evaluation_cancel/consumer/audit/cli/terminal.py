"""Runs an audit command on the terminal."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from rich.console import Console

from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely
from evaluation_cancel.consumer.runtime.terminal import run_for_terminal

T = TypeVar("T")
CANNOT_ANSWER: Final = 2
"""Exit code of a command that could not answer. 1 is an answer: `verify` found defects, or `explain` found nothing."""


def run_command(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`. An expected failure is printed and exits with 2, Ctrl-C exits with 130."""
    search_rarely()
    try:
        return run_for_terminal(work, failure_code=CANNOT_ANSWER)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def stderr_console() -> Console:
    """A console for remarks and progress, because standard output is for the answer alone."""
    return Console(stderr=True)
