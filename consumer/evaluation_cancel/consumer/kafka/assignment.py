"""Which partitions this member of the group has just been given, and which were taken from it."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import ConsumerRebalanceListener, TopicPartition

from evaluation_cancel.consumer.runtime.nudge import wait_at_most

_WAITS_FOR_COMMIT: Final = 5.0
"""Seconds."""


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Keeps the new partitions; lets a batch in flight be committed before its partitions are revoked."""

    def __init__(self) -> None:
        self.new: set[TopicPartition] = set()
        self.revoked: set[TopicPartition] = set()
        """Until they are taken."""
        self.nothing_in_flight = asyncio.Event()
        """Set while no batch is in flight."""
        self.nothing_in_flight.set()

    def take_revoked(self) -> set[TopicPartition]:
        """The partitions that were revoked since the last call."""
        revoked, self.revoked = self.revoked, set()
        return revoked

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self.new -= set(revoked)
        self.revoked |= set(revoked)
        await wait_at_most(self.nothing_in_flight, _WAITS_FOR_COMMIT)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self.new |= set(assigned)
