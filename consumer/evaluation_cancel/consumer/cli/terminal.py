"""Runs one command's work for the person at the terminal: an answer, or one sentence on what was in the way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.sql.database import PostgresError, translated

T = TypeVar("T")


def ask(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. If Postgres, Kafka or a refusal is in the way, that is printed and the process ends: 1."""
    try:
        with translated():
            return asyncio.run(work)
    except (CancellationError, PostgresError) as error:
        told = str(error) if isinstance(error, CancellationError) else f"{type(error).__name__}: {error}"
        print(told, file=sys.stderr)  # noqa: T201  # the answer to the person at the terminal
        raise SystemExit(1) from None
