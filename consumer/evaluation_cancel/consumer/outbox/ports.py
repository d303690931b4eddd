"""What the relay needs from Kafka: an `EventProducer`, and the result of each send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from evaluation_cancel.schemas.wire.records import Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The broker has acknowledged the record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The broker refuses the record, now and on every retry (its size, missing rights)."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unresolved:
    """The record may still arrive. Do not send it again before the producer is renewed."""

    detail: str


SendResult = Sent | Refused | Unresolved


class Record(NamedTuple):
    """A record to be sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class EventProducer(Protocol):
    """What the relay needs from Kafka."""

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        """Sends all and waits for each outcome, within its own deadline."""

    async def renew(self) -> None:
        """Discards the producer and its unsent records; the next send creates a new one."""
