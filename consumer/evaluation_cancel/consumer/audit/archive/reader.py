"""Reads records back from the archive, object by object, day by day; only what the chain links.

Each object is held against its signed link before its records are given out. Whether the chain is whole is not asked
here: that is `audit/verify/chain_check.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from evaluation_cancel.consumer.audit.archive.chain import read_link
from evaluation_cancel.consumer.audit.archive.data_object import BrokenObject, read_records
from evaluation_cancel.consumer.audit.archive.keys import DataKey, data_prefix, day_of, link_key, read_data_key
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.offsets import Ranges
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedObject:
    """The records of one object, its key, and the offsets before them that had expired unarchived."""

    key: str
    records: list[RawRecord]
    expired: Ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much there is to read, and up to where."""

    objects: int
    ends: dict[Partition, int]
    """The first offset of each partition's last object. What is archived later lies behind it."""


async def extent(
    store: ObjectStore,
    topics: Sequence[str],
    since_ms: int | None,
    before_ms: int | None,
    ends: Mapping[Partition, int] | None,
) -> Extent:
    """Of this time as the archive lists it now, or up to `ends`, as it was listed before."""
    count, found = 0, dict(ends or {})
    async for day in objects_between(store, topics, since_ms, before_ms):
        for name in day:
            partition = (name.topic, name.partition)
            if ends is None:
                found[partition] = max(name.first, found.get(partition, 0))
            count += name.first <= found.get(partition, -1)
    return Extent(objects=count, ends=found)


async def objects_between(
    store: ObjectStore, topics: Sequence[str], since_ms: int | None, before_ms: int | None
) -> AsyncIterator[list[DataKey]]:
    """The data objects that may hold records of this time, a day's at once, in the order of reading.

    Linked or not: that shows when they are read.
    """
    first_day = "" if since_ms is None else day_of(max(since_ms, 0))
    behind = {topic: data_prefix(topic, first_day) for topic in topics}
    while True:
        days = [d for topic in topics if (d := await _next_day(store, topic, behind[topic])) is not None]
        if not days or (before_ms is not None and min(days) > day_of(max(before_ms - 1, 0))):
            return
        day, found = min(days), []
        for topic in topics:
            found += [name async for name in _of_day(store, topic, day)]
            behind[topic] = data_prefix(topic, day) + "/~"
        yield found


async def _next_day(store: ObjectStore, topic: str, behind: str) -> str | None:
    async for key in store.keys(data_prefix(topic), behind):
        name = read_data_key(key)
        if name is not None:
            return name.day
    return None


async def _of_day(store: ObjectStore, topic: str, day: str) -> AsyncIterator[DataKey]:
    """In the order of partition and offset, as they are listed."""
    async for key in store.keys(data_prefix(topic, day) + "/"):
        name = read_data_key(key)
        if name is not None:
            yield name


async def read_object(store: ObjectStore, trusted: TrustedKeys, name: DataKey) -> ArchivedObject | None:
    """None for one that no link names: it is no part of the archive. Raises `Refusal` for one that is not sound."""
    found = await read_link(store, trusted, link_key(name.topic, name.partition, name.first))
    if found is None or found[0].data != name.key:
        return None
    body = await store.get(name.key)
    if body is None:
        raise Refusal("missing_object", f"{name.key} was listed and is not there")
    try:
        return ArchivedObject(key=name.key, records=list(read_records(body, found[0])), expired=found[0].expired)
    except BrokenObject as error:
        raise Refusal(error.code, f"{name.key}: {error}") from error
