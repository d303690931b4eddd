"""The values around the codec: a raw record, an encoded record, and the only decoding error. No client library."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

MAX_VALUE_BYTES: Final = 512 * 1024
"""A command or event above this is not read. The largest that the schemas allow is below it."""

MAX_RECORD_BYTES: Final = 1024 * 1024
"""Key, value and headers together. The topics take no more; a compressed batch can hold more all the same."""
KEPT_BYTES: Final = 64 * 1024
"""What is kept of a value that is too large."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """What was cut off from a record that is too large to be kept."""

    size: int
    """Bytes of all of it."""
    sha256: str
    """Of all of it, in hexadecimal."""
    what: str
    """In words."""


class CutValue(bytes):
    """The beginning of a value, in the place of all of it."""

    cut: Cut

    def __new__(cls, kept: bytes, size: int, digest: str, what: str) -> Self:
        made = super().__new__(cls, kept)
        made.cut = Cut(size=size, sha256=digest, what=what)
        return made

    @classmethod
    def of(cls, whole: bytes, what: str) -> Self:
        return cls(whole[:KEPT_BYTES], len(whole), sha256(whole).hexdigest(), what)


class Unreadable(bytes):
    """Stands for the value of records that cannot be read at all."""

    problem: str

    def __new__(cls, problem: str) -> Self:
        made = super().__new__(cls)
        made.problem = problem[:300]
        return made


class UnreadableRecord(Exception):  # noqa: N818 - a fact about what is on the broker
    """The bytes at an offset cannot be read: a codec that is missing, a broken checksum, a broken batch."""


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
    cut: Cut | None = None
    """Set if key, value and headers are not all of it."""

    @classmethod
    def of(cls, record: Any) -> Self:
        """From an aiokafka ConsumerRecord. Raises `UnreadableRecord` for what stands in the place of one."""
        value: Any = record.value
        if type(value) is Unreadable:
            raise UnreadableRecord(value.problem)
        cut = value.cut if type(value) is CutValue else None
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=value if cut is None else bytes(value),
            headers=record.headers,
            cut=cut,
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
