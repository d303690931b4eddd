"""Reads commands from Kafka and hands each batch to `decide.py`; commits offsets only after Postgres has committed.

A crash anywhere delivers the batch again, which the inbox recognises. What cannot be understood, or can never be
stored, becomes a dead letter in the same way as a command becomes a decision. How Kafka is read is
`kafka/command_reader.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from evaluation_cancel.consumer.domain.commands import ReceivedCommand, received
from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable
from evaluation_cancel.consumer.domain.events import OutcomeEvents, unstorable
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.intake.decide import Batch, Decide, Decided
from evaluation_cancel.consumer.runtime.backoff import Backoff
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, decode_command

_log = structlog.get_logger(__name__)


class CommandReader(Protocol):
    """What intake asks of Kafka."""

    async def start(self) -> None:
        """Joins the group."""

    async def read(self) -> tuple[Sequence[RawRecord], Mapping[tuple[str, int], int]]:
        """Some records, and for each of their partitions where to read on; empty after a moment without any.

        Raises `TemporaryError` when Postgres could not say where to read; nothing is skipped by that.
        """

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Tells Kafka. Failing is not an error: the inbox knows these commands by now."""

    async def stop(self) -> None:
        """Leaves the group, within a deadline."""


class Intake(Loop):
    """The loop. `run` ends after `stop`, or raises when the reader is beyond repair: make a new one then."""

    def __init__(
        self,
        *,
        reader: CommandReader,
        decide: Decide,
        events: OutcomeEvents,
        every_team_sources: frozenset[str],
        accept_bare: bool,
        decided: Callable[[Decided, int], None],
        roomy: Callable[[], Awaitable[None]],
    ) -> None:
        """`decided` is told of every batch (what came of it, how many records), to wake others and to count; `roomy`
        is awaited after a batch of which some have to wait for their teardown.
        """
        super().__init__()
        self._reader = reader
        self._decide = decide
        self._events = events
        self._every_team_sources = every_team_sources
        self._accept_bare = accept_bare
        self._decided = decided
        self._roomy = roomy
        self._throttle = LogThrottle()

    async def run(self) -> None:
        backoff = Backoff()
        await self._reader.start()
        try:
            while self.next_round():
                try:
                    records, next_offsets = await self._reader.read()
                except TemporaryError as error:
                    await backoff.sleep(error, "Commands wait: where to read on is not known.", action="intake_retry")
                    continue
                backoff.reset()
                self.progressed()
                if records:
                    await self._handle(records, next_offsets)
        finally:
            await self._reader.stop()

    async def _handle(self, records: Sequence[RawRecord], next_offsets: Mapping[tuple[str, int], int]) -> None:
        commands, dead_letters = self._decode(records)
        offsets = [(topic, partition, offset) for (topic, partition), offset in sorted(next_offsets.items())]
        batch = Batch(commands=commands, dead_letters=dead_letters, next_offsets=offsets)
        # Crash before the next line has returned: nothing happened. After it: Kafka delivers again, all are known.
        decided = await self._until_recorded(batch)
        if decided is not None:
            self._decided(decided, len(records))
            await self._reader.commit(next_offsets)
            if decided.waiting:
                await self._roomy()

    def _decode(self, records: Sequence[RawRecord]) -> tuple[list[ReceivedCommand], list[Message]]:
        commands: list[ReceivedCommand] = []
        dead_letters: list[Message] = []
        for record in records:
            try:
                envelope, command = decode_command(record, accept_bare=self._accept_bare)
            except UndecodableRecord as error:
                dead_letters.append(self._events.dead_letter(record, error))
                self._log_dead_letter(error)
            else:
                commands.append(received(record, envelope, command, self._every_team_sources.__contains__))
        return commands, dead_letters

    def _log_dead_letter(self, error: UndecodableRecord) -> None:
        self._throttle.log(  # any producer may send thousands; each one is in the dead letter topic
            _log,
            "dead_letter",
            "A record that is no command becomes a dead letter.",
            action="dead_letter",
            code=error.code,
            field=error.field,
            problem=error.problem,
            topic=error.topic,
            partition=error.partition,
            offset=error.offset,
        )

    async def _until_recorded(self, batch: Batch) -> Decided | None:
        """Repeats through any outage. None: asked to stop meanwhile, nothing was recorded."""
        backoff = Backoff()
        while True:
            try:
                decided = await self._record(batch)
            except TemporaryError as error:
                if self._stopping:
                    return None
                await backoff.sleep(error, "Commands wait: they cannot be recorded.", action="intake_retry")
            else:
                self.progressed()
                return decided

    async def _record(self, batch: Batch) -> Decided:
        """Records the batch, in halves where Postgres refuses a value, down to the record that holds it."""
        try:
            return await self._decide.record(batch)
        except (Unstorable, ValueError) as error:
            # A ValueError is a value that an event cannot hold; which command brought it, halving finds out.
            first, second = _halves(batch, self._events, error)
            parts = [await self._record(part) for part in (first, second) if part is not None]
            return _sum(parts)


def _halves(batch: Batch, events: OutcomeEvents, error: Exception) -> tuple[Batch, Batch | None]:
    """Two halves in order; the offsets go with the second, so that they are stored when all else is."""
    count = len(batch.commands)
    if count == 0:
        raise error  # dead letters are bytes: Postgres takes any
    if count == 1:
        letter = unstorable(events, batch.commands[0], error)
        return Batch(dead_letters=[*batch.dead_letters, *letter], next_offsets=batch.next_offsets), None
    middle = count // 2
    first = Batch(commands=batch.commands[:middle], dead_letters=batch.dead_letters)
    return first, Batch(commands=batch.commands[middle:], next_offsets=batch.next_offsets)


def _sum(parts: Sequence[Decided]) -> Decided:
    counts: dict[str, int] = {}
    for part in parts:
        for what, count in part.counts.items():
            counts[what] = counts.get(what, 0) + count
    return Decided(counts=counts, waiting=sum(p.waiting for p in parts), messages=sum(p.messages for p in parts))
