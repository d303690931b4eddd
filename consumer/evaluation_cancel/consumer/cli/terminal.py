"""Runs a command's work on Postgres; each error of Postgres becomes one sentence and exit code 1."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.runtime.terminal import run_for_terminal
from evaluation_cancel.consumer.sql.errors import PostgresError, translated

T = TypeVar("T")


def run_on_postgres(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, or print the error that prevented it and exit with 1."""
    return run_for_terminal(_translating(work))


async def _translating(work: Coroutine[Any, Any, T]) -> T:
    try:
        with translated():
            return await work
    except PostgresError as error:
        raise Refusal(type(error).__name__, str(error)) from error
