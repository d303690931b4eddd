"""Reads records back from the archive, day by day and object by object. Objects without a link are ignored.

Each object is checked against its signed link before its records are returned. Whether the chain has gaps is checked in
`audit/verify/chain_check.py`.
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
    """The records of one object, and the offsets of its link that had expired before they were archived."""

    records: list[RawRecord]
    expired: Ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How many objects a reading covers, and its end in each partition."""

    objects: int
    ends: dict[Partition, int]
    """The first offset of each partition's last object. Objects that are archived later start after it."""


async def extent(
    store: ObjectStore,
    topics: Sequence[str],
    since_ms: int | None,
    before_ms: int | None,
    ends: Mapping[Partition, int] | None,
) -> Extent:
    """The extent of a span of time as the archive lists it now, or up to the `ends` of an earlier listing."""
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
    """The data objects of a span of time, one list for each day, in reading order: topic, partition, offset.

    Objects without a link are included; `read_object` detects them.
    """
    first_day = "" if since_ms is None else day_of(max(since_ms, 0))
    last_seen = {topic: data_prefix(topic, first_day) for topic in topics}
    while True:
        days = [d for topic in topics if (d := await _next_day(store, topic, last_seen[topic])) is not None]
        if not days or (before_ms is not None and min(days) > day_of(max(before_ms - 1, 0))):
            return
        day, found = min(days), []
        for topic in topics:
            found += [name async for name in _of_day(store, topic, day)]
            last_seen[topic] = data_prefix(topic, day) + "/~"
        yield found


async def _next_day(store: ObjectStore, topic: str, after: str) -> str | None:
    async for key in store.keys(data_prefix(topic), after):
        name = read_data_key(key)
        if name is not None:
            return name.day
    return None


async def _of_day(store: ObjectStore, topic: str, day: str) -> AsyncIterator[DataKey]:
    async for key in store.keys(data_prefix(topic, day) + "/"):
        name = read_data_key(key)
        if name is not None:
            yield name


async def read_object(store: ObjectStore, trusted: TrustedKeys, name: DataKey) -> ArchivedObject | None:
    """Read an object; None if no link names it. Raises `Refusal` if the object or its link is not sound."""
    found = await read_link(store, trusted, link_key(name.topic, name.partition, name.first))
    if found is None or found[0].data != name.key:
        return None
    body = await store.get(name.key)
    if body is None:
        raise Refusal("missing_object", f"{name.key} was listed but cannot be found")
    try:
        return ArchivedObject(records=list(read_records(body, found[0])), expired=found[0].expired)
    except BrokenObject as error:
        raise Refusal(error.code, f"{name.key}: {error}") from error
