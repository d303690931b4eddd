"""Partitions that stand still because the bytes at their position cannot be read, and when each is tried again.

The others go on. A checksum may have broken on the way and a codec may be installed later, so nothing is passed over
but what an operator has skipped on record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import TopicPartition

_log = structlog.get_logger(__name__)
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds until a partition is tried again, and told again: at first soon, then once a minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A partition that stands still."""

    offset: int
    problem: str
    pause: float
    due: float
    """When it is tried again, by the monotonic clock."""


class UnreadablePartitions:
    """Those of one reader."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._standing: dict[TopicPartition, Standing] = {}
        self._tried: dict[TopicPartition, Standing] = {}
        """Those that are being tried again."""

    def found(self, partition: TopicPartition, offset: int, problem: str) -> None:
        """Its bytes at this offset cannot be read: it stands still from now on."""
        before = self._tried.pop(partition, None)
        same = before is not None and before.offset == offset
        pause = min(_LONGEST_PAUSE, 2 * before.pause) if before is not None and same else _FIRST_PAUSE
        self._standing[partition] = Standing(offset=offset, problem=problem, pause=pause, due=self._clock() + pause)
        _log.error(
            "Records cannot be read, and their partition stands still. The others go on.",
            action="records_unreadable",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            problem=problem,
            tried_again_in=pause,
        )

    def due(self) -> dict[TopicPartition, Standing]:
        """Those to be tried again now. `found` says if one still cannot be read, `read` that it can."""
        now = self._clock()
        due = {partition: standing for partition, standing in self._standing.items() if standing.due <= now}
        for partition, standing in due.items():
            del self._standing[partition]
            self._tried[partition] = standing
        return due

    def read(self, partition: TopicPartition) -> None:
        """Records of the partition were read."""
        self._tried.pop(partition, None)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Other readers have these partitions now."""
        for partition in partitions:
            self._standing.pop(partition, None)
            self._tried.pop(partition, None)

    def clear(self) -> None:
        """Forget all of them, as for a new client."""
        self._standing.clear()
        self._tried.clear()

    def described(self) -> list[str]:
        """Each with its place and the problem, for the health server."""
        known = self._standing | self._tried
        return [f"{p.topic}[{p.partition}]@{s.offset}: {s.problem}" for p, s in sorted(known.items())]
