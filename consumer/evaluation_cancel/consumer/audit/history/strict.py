"""The archived commands and events of one evaluation, decoded strictly, as the service does. `verify` checks them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from evaluation_cancel.consumer.domain.commands import CommandKey, Position
from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.events import Event
from evaluation_cancel.schemas.wire.codec import decode_command, decode_event
from evaluation_cancel.schemas.wire.records import Headers, RawRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedCommand:
    """A command, its position in Kafka and its digest."""

    position: Position
    at: datetime
    """The record's timestamp in Kafka."""
    envelope: Envelope
    command: CancelEvaluation
    sha256: bytes
    """SHA-256 of the record's value."""

    @property
    def where(self) -> str:
        """Its position, as findings name it."""
        return place(self.position)

    @property
    def key(self) -> CommandKey:
        """Source and id, which identify the command."""
        return CommandKey(self.envelope.source, self.envelope.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedEvent:
    """An event, its position in Kafka and its bytes."""

    position: Position
    at: datetime
    envelope: Envelope
    event: Event
    value: bytes
    headers: Headers

    @property
    def where(self) -> str:
        """Its position, as findings name it."""
        return place(self.position)

    @property
    def type(self) -> str:
        """Short name, such as `EvaluationCancelled`."""
        return type(self.event).__name__


@dataclass(kw_only=True, slots=True)
class ArchivedEvaluation:
    """Commands and events of one evaluation, in the order of the archive: by partition, then by offset."""

    commands: list[ArchivedCommand] = field(default_factory=list)
    events: list[ArchivedEvent] = field(default_factory=list)


def place(position: Position) -> str:
    """A position as findings name it: `topic[partition]@offset`."""
    return f"{position.topic}[{position.partition}]@{position.offset}"


def position_of(record: RawRecord) -> Position:
    """The position of a record in Kafka."""
    return Position(record.topic, record.partition, record.offset)


def time_of(record: RawRecord) -> datetime:
    """The record's timestamp in Kafka; the epoch for a record without a usable one."""
    try:
        return _EPOCH + timedelta(milliseconds=max(0, record.timestamp_ms))
    except OverflowError:
        return _EPOCH


def archived_command(record: RawRecord, *, accept_bare: bool) -> ArchivedCommand:
    """Decode a command; with `accept_bare` also one without an envelope. Raises `UndecodableRecord`."""
    envelope, command = decode_command(record, accept_bare=accept_bare)
    return ArchivedCommand(
        position=position_of(record),
        at=time_of(record),
        envelope=envelope,
        command=command,
        sha256=hashlib.sha256(record.value or b"").digest(),
    )


def archived_event(record: RawRecord) -> ArchivedEvent:
    """Decode an event. Raises `UndecodableRecord`."""
    envelope, event = decode_event(record)
    return ArchivedEvent(
        position=position_of(record),
        at=time_of(record),
        envelope=envelope,
        event=event,
        value=record.value or b"",
        headers=[(name, text or b"") for name, text in record.headers],
    )
