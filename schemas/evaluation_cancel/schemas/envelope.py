"""The envelope of every message: the CloudEvents 1.0 attributes that this system writes and reads.

Unknown attributes are ignored. `wire/codec.py` converts an envelope to Kafka headers and back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

TYPE_PREFIX: Final = "ai.vijil.evaluations.v1."
SPEC_VERSION: Final = "1.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """Who says what about which evaluation, when, and because of what."""

    id: str
    source: str
    type: str
    time: datetime | None = None
    """When it happened, as its sender says. A stranger may leave it out."""
    subject: str | None = None
    """The evaluation."""
    dataschema: str | None = None
    partitionkey: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    """The command that brought this event about."""
    cancellationid: str | None = None
    sequence: int | None = None
    """The outbox id of the first publication; kept when the event is published again."""
    expirytime: datetime | None = None
    traceparent: str | None = None
    dropped: tuple[str, ...] = ()
    """Optional attributes that the record has and that cannot be read. Never written."""

    @property
    def short_type(self) -> str:
        return self.type.removeprefix(TYPE_PREFIX)


def schema_uri(short_type: str) -> str:
    """The name of the JSON Schema of a message's data, not an address to fetch it from."""
    return f"urn:vijil:evaluations:v1:{short_type}"


@lru_cache(maxsize=256)
def rfc3339(moment: datetime) -> str:
    """Remembered, because all that is decided together has one time."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat().removesuffix("+00:00") + "Z"
