"""What the relay needs from Kafka: an `EventProducer`, and the result of each send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from evaluation_cancel.schemas.wire.records import Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The broker has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The broker will not take it as it is, however often it is tried (its size, our rights)."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unresolved:
    """It may or may not arrive yet. Not to be sent again before this producer is gone."""

    detail: str


SendResult = Sent | Refused | Unresolved


class Record(NamedTuple):
    """A record to be sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class EventProducer(Protocol):
    """What the relay asks of Kafka."""

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        """Sends all and waits for each outcome, within its own deadline."""

    async def renew(self) -> None:
        """Gets rid of the producer and whatever it still held; the next send makes a new one."""
