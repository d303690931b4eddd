"""Reads commands from Kafka, has `decide.py` record each batch, and commits offsets only after Postgres has committed.

A crash delivers the batch again, and the inbox recognises its commands. A record that cannot be decoded, or can never
be stored, becomes a dead letter. `kafka/command_reader.py` reads Kafka.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from evaluation_cancel.consumer.domain.commands import Position, ReceivedCommand, received
from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable
from evaluation_cancel.consumer.domain.events import OutcomeEvents, unstorable
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.intake.decide import Batch, Decided, DecisionService
from evaluation_cancel.consumer.runtime.backoff import Backoff
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, decode_command

_log = structlog.get_logger(__name__)


class ReaderLostError(TemporaryError):
    """The reader has to be started anew."""


class CommandReader(Protocol):
    """What intake needs from Kafka."""

    async def start(self) -> None:
        """Joins the group."""

    async def read(self) -> tuple[Sequence[RawRecord], Mapping[tuple[str, int], int]]:
        """Returns records, and the next offset of each of their partitions, after a moment at the latest.

        Partitions whose next offset moved without a record are among the offsets. Raises `TemporaryError` when the
        offsets cannot be read from Postgres; no record is skipped then. Raises `ReaderLostError` when it must be
        started anew.
        """

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Commits the offsets to Kafka. A failure is only logged: the inbox has recorded these commands."""

    async def stop(self) -> None:
        """Leaves the group, within a deadline."""


class Intake(Loop):
    """The loop. `run` raises when the reader fails; run it again, which joins the group anew."""

    def __init__(
        self,
        *,
        reader: CommandReader,
        decide: DecisionService,
        events: OutcomeEvents,
        every_team_sources: frozenset[str],
        accept_bare: bool,
        on_decided: Callable[[Decided, int], None],
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_decided` is called after each commit with its result and its number of records.

        `wait_for_capacity` is awaited after a batch that opened cancellations which wait for their teardown.
        """
        super().__init__()
        self._reader = reader
        self._decide = decide
        self._events = events
        self._every_team_sources = every_team_sources
        self._accept_bare = accept_bare
        self._on_decided = on_decided
        self._wait_for_capacity = wait_for_capacity
        self._throttle = LogThrottle()

    async def run(self) -> None:
        backoff = Backoff()
        await self._start_reader()
        try:
            while self.next_round():
                try:
                    records, next_offsets = await self._reader.read()
                except ReaderLostError:
                    raise
                except TemporaryError as error:
                    why = "Commands wait: no offsets to read from."
                    await self.wait_for_retry(backoff, error, why, action="intake_retry")
                    continue
                backoff.reset()
                self.progressed()
                if records or next_offsets:
                    await self._handle(records, next_offsets)
        finally:
            await self._reader.stop()

    async def _start_reader(self) -> None:
        """Repeats until Kafka answers, or until stopped."""
        backoff = Backoff()
        while self.next_round():
            try:
                await self._reader.start()
            except TemporaryError as error:
                why = "Commands wait: Kafka cannot be reached."
                await self.wait_for_retry(backoff, error, why, action="kafka_unavailable")
            else:
                return

    async def _handle(self, records: Sequence[RawRecord], next_offsets: Mapping[tuple[str, int], int]) -> None:
        commands, dead_letters = self._decode(records)
        offsets = [Position(topic, partition, offset) for (topic, partition), offset in sorted(next_offsets.items())]
        batch = Batch(commands=commands, dead_letters=dead_letters, next_offsets=offsets)
        # A crash before the commit to Kafka delivers the batch again; the inbox recognises what was recorded.
        waiting = await self._until_recorded(batch)
        if waiting is not None:
            if next_offsets:
                await self._reader.commit(next_offsets)
            if waiting:
                await self._wait_for_capacity()

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
                if envelope.dropped:
                    self._log_dropped(record, envelope)
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

    def _log_dropped(self, record: RawRecord, envelope: Envelope) -> None:
        self._throttle.log(
            _log,
            "attributes_dropped",
            "Optional attributes of a command cannot be read; it is carried out without them.",
            action="attributes_dropped",
            attributes=list(envelope.dropped),
            source=envelope.source,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )

    async def _until_recorded(self, batch: Batch) -> int | None:
        """Records the batch, in halves where Postgres refuses a value, down to the record that holds the value.

        Repeats through any outage, but only what is not committed yet; each committed part is reported once. Returns
        the number of cancellations that wait for their teardown, or None when stopped before all was recorded.
        """
        backoff = Backoff()
        left = [batch]
        waiting = 0
        while left:
            try:
                decided = await self._decide.record(left[0])
            except (Unstorable, ValueError) as error:
                # A ValueError is a value that an event cannot hold; halving finds the command that brought it.
                left[:1] = _halves(left[0], self._events, error)
            except TemporaryError as error:
                if self._stopping:
                    return None
                why = "Commands wait: they cannot be recorded."
                await self.wait_for_retry(backoff, error, why, action="intake_retry")
            else:
                self.progressed()
                part = left.pop(0)
                self._on_decided(decided, len(part.commands) + len(part.dead_letters))
                waiting += decided.waiting
        return waiting


def _halves(batch: Batch, events: OutcomeEvents, error: Exception) -> list[Batch]:
    """Two halves in order, or one dead letter for a single command. The last part stores the offsets."""
    count = len(batch.commands)
    if count == 0:
        raise error  # dead letters are bytes: Postgres takes any
    if count == 1:
        letter = unstorable(events, batch.commands[0], error)
        return [Batch(dead_letters=[*batch.dead_letters, *letter], next_offsets=batch.next_offsets)]
    middle = count // 2
    first = Batch(commands=batch.commands[:middle], dead_letters=batch.dead_letters)
    return [first, Batch(commands=batch.commands[middle:], next_offsets=batch.next_offsets)]
