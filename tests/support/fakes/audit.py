"""An object store and a Kafka log in memory, with failures on demand, for tests of the archiver and of `verify`."""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluation_cancel.consumer.audit.archive.signing import Signer, TrustedKeys
from evaluation_cancel.consumer.audit.kafka.reading import Expired, Partition, Read
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.schemas.wire.records import RawRecord


class Crash(BaseException):
    """Stands for the death of the process."""


def new_signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


def trusting(*signers: Signer) -> TrustedKeys:
    return TrustedKeys([signer.public for signer in signers])


class MemoryStore:
    """Creates objects and never overwrites them. `fail_at` makes single creations fail."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.creations = 0
        self.fail_at: dict[int, tuple[str, BaseException]] = {}
        """Number of a creation → (`before` or `after` it takes effect, the exception)."""

    async def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    async def create(self, key: str, body: bytes) -> bool:
        self.creations += 1
        when, error = self.fail_at.pop(self.creations, ("", None))
        if when == "before" and error is not None:
            raise error
        new = key not in self.objects
        if new:
            self.objects[key] = body
        if when == "after" and error is not None:
            raise error
        return new

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after:
                yield key

    async def any_key(self, prefix: str, after: str) -> bool:
        return any(key.startswith(prefix) and key > after for key in self.objects)


class CarelessStore(MemoryStore):
    """Overwrites objects, as a store does that ignores the condition."""

    async def create(self, key: str, body: bytes) -> bool:
        self.objects[key] = body
        return True


class MemoryLog:
    """Maps each partition's offsets to a record, or to None where readers find no record."""

    def __init__(self, partitions: Mapping[Partition, Mapping[int, RawRecord | None]], *, at_once: int = 3) -> None:
        self.contents = {p: dict(records) for p, records in partitions.items()}
        self.first = dict.fromkeys(partitions, 0)
        self.at_once = at_once
        self.positions: dict[Partition, int] = {}
        self.failures: list[TemporaryError] = []

    @property
    def partitions(self) -> Sequence[Partition]:
        return list(self.contents)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MemoryLog]:
        self.positions = {}
        yield self

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        return {p: (self.first[p], self.end(p)) for p in self.contents}

    def end(self, partition: Partition) -> int:
        return max(self.contents[partition], default=self.first[partition] - 1) + 1

    def read_from(self, positions: Mapping[Partition, int]) -> None:
        self.positions = dict(positions)

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ARG002, ASYNC109
        if self.failures:
            raise self.failures.pop()
        reads = []
        for partition, began_at in self.positions.items():
            if only and partition not in only:
                continue
            if began_at < self.first[partition]:
                raise Expired("offset_out_of_range", f"{partition} {began_at}")
            read = self._read(partition, began_at)
            if read.position != began_at:
                reads.append(read)
        for read in reads:
            self.positions[read.partition] = read.position
        return reads

    def _read(self, partition: Partition, began_at: int) -> Read:
        offsets = sorted(self.contents[partition])
        records: list[RawRecord] = []
        position = began_at
        for offset in offsets[bisect.bisect_left(offsets, began_at) :]:
            record = self.contents[partition][offset]
            if record is not None:
                if len(records) == self.at_once:
                    break
                records.append(record)
            position = offset + 1
        return Read(partition=partition, records=records, began_at=began_at, position=position)


def raw_record(offset: int, *, topic: str = "commands", partition: int = 0, **changes: object) -> RawRecord:
    fields: dict[str, object] = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp_ms": 1_700_000_000_000 + offset,
        "key": b"key",
        "value": b'{"number": %d}' % offset,
        "headers": (("ce_id", b"%d" % offset),),
    }
    return RawRecord(**{**fields, **changes})  # type: ignore[arg-type]


def log_of(offsets: Iterable[int], *, absent: Iterable[int] = (), at_once: int = 3) -> MemoryLog:
    """A log with the one partition `commands[0]`."""
    contents: dict[int, RawRecord | None] = {offset: raw_record(offset) for offset in offsets}
    contents.update(dict.fromkeys(absent, None))
    return MemoryLog({("commands", 0): contents}, at_once=at_once)
