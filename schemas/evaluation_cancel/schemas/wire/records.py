"""The values around the codec: a raw record, an encoded record, and the only decoding error. No client library."""

from dataclasses import dataclass
from typing import Any, Final, Self

MAX_VALUE_BYTES: Final = 512 * 1024
"""A command or event above this is not read. The largest that the schemas allow is below it."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedRecord:
    """Ready to be sent. Key and value are None only in dead letters of records that had none."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRecord:
    """As it was read. A header name that is no UTF-8 carries its bytes as surrogate escapes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @classmethod
    def of(cls, record: Any) -> Self:
        """From an aiokafka ConsumerRecord."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )


def _shown(text: str, limit: int) -> str:
    """Names in a record are a stranger's text: shown so that it can be stored and printed anywhere."""
    return (text if text.isprintable() else ascii(text)[1:-1])[:limit]


class UndecodableRecord(Exception):  # noqa: N818 - a fact about the record, and the name the dead letters use
    """A record that can never be understood. The code is stable; field and problem are for people."""

    def __init__(self, *, code: str, field: str, problem: str, topic: str, partition: int, offset: int) -> None:
        self.code = code
        self.field = _shown(field, 200)
        self.problem = _shown(problem, 500)
        super().__init__(f"{topic}[{partition}]@{offset}: {self.field} {self.problem} ({code})")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class Problem(Exception):  # noqa: N818 - becomes an UndecodableRecord once the position is added
    """What is wrong, found where the position is not known."""

    def __init__(self, code: str, field: str, problem: str) -> None:
        super().__init__(code, field, problem)
        self.code = code
        self.field = field
        self.problem = problem
