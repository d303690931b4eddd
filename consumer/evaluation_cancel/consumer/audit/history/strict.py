"""What the archive holds of one evaluation, understood strictly: what `verify` judges. Values and decoding only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.events import Event
from evaluation_cancel.schemas.wire.codec import decode_command, decode_event
from evaluation_cancel.schemas.wire.records import Headers, RawRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Position = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedCommand:
    position: Position
    at: datetime
    """Kafka's timestamp."""
    envelope: Envelope
    command: CancelEvaluation
    sha256: bytes
    """Of the record's value."""

    @property
    def where(self) -> str:
        return place(self.position)

    @property
    def key(self) -> tuple[str, str]:
        return (self.envelope.source, self.envelope.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedEvent:
    position: Position
    at: datetime
    envelope: Envelope
    event: Event
    value: bytes
    headers: Headers

    @property
    def where(self) -> str:
        return place(self.position)

    @property
    def type(self) -> str:
        return type(self.event).__name__


@dataclass(kw_only=True, slots=True)
class ArchivedEvaluation:
    """In the order of the archive: partition by partition, each by offset."""

    commands: list[ArchivedCommand] = field(default_factory=list)
    events: list[ArchivedEvent] = field(default_factory=list)


def place(position: Position) -> str:
    """As defects name it."""
    return f"{position[0]}[{position[1]}]@{position[2]}"


def position_of(record: RawRecord) -> Position:
    return (record.topic, record.partition, record.offset)


def time_of(record: RawRecord) -> datetime:
    """Kafka's timestamp; the epoch when there is none, which is long ago for every purpose."""
    try:
        return _EPOCH + timedelta(milliseconds=max(0, record.timestamp_ms))
    except OverflowError:
        return _EPOCH


def archived_command(record: RawRecord, *, accept_bare: bool) -> ArchivedCommand:
    """Raises `UndecodableRecord`."""
    envelope, command = decode_command(record, accept_bare=accept_bare)
    return ArchivedCommand(
        position=position_of(record),
        at=time_of(record),
        envelope=envelope,
        command=command,
        sha256=hashlib.sha256(record.value or b"").digest(),
    )


def archived_event(record: RawRecord) -> ArchivedEvent:
    """Raises `UndecodableRecord`."""
    envelope, event = decode_event(record)
    return ArchivedEvent(
        position=position_of(record),
        at=time_of(record),
        envelope=envelope,
        event=event,
        value=record.value or b"",
        headers=[(name, text or b"") for name, text in record.headers],
    )
