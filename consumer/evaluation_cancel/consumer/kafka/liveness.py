"""Whether a Kafka client still does what it was made for. A task of its own may have ended without a word.

A client whose fetch task is dead returns no records for ever, just like one whose topic is empty. Two things tell them
apart: the tasks themselves, and the time of the last answer to a fetch, which comes twice a second with or without
records.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

_SILENT_FOR: Final = 30.0
"""Seconds without any answer to a fetch, although partitions are assigned. Brokers answer within half a second."""


class ReaderLiveness:
    """Watches one consumer, of which it knows some private parts of aiokafka 0.14."""

    def __init__(self, client: AIOKafkaConsumer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._answered: object = None
        self._answered_at = clock()

    def problem(self, *, has_read: bool) -> str | None:
        """Why the client has to be made anew; None if it is alive. Call it after each read."""
        for name, task in self._tasks():
            if task is not None and task.done():
                return f"the client's {name} task has ended"
        partitions = self._client.assignment() - self._client.paused()
        answered = [self._client.last_poll_timestamp(partition) for partition in partitions]
        newest = max((each for each in answered if each is not None), default=None)
        if has_read or not partitions or newest != self._answered:
            self._answered, self._answered_at = newest, self._clock()
            return None
        silent = self._clock() - self._answered_at
        return f"no broker has answered a fetch for {silent:.0f} s" if silent > _SILENT_FOR else None

    def _tasks(self) -> list[tuple[str, Any]]:
        client = self._client
        return [
            ("fetch", getattr(client._fetcher, "_fetch_task", None)),  # noqa: SLF001
            ("metadata", getattr(client._client, "_sync_task", None)),  # noqa: SLF001
            ("group", getattr(client._coordinator, "_coordination_task", None)),  # noqa: SLF001
        ]
