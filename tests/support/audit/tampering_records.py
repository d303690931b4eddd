"""Ways to alter records with a stolen signing key: all digests, counts and signatures are right.

Only the comparison with Postgres finds the defects. Each way returns the place of the defect and the code under which
`verify` must report it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import uuid4

from evaluation_cancel.consumer.audit.archive.keys import data_key, day_of
from evaluation_cancel.consumer.audit.archive.link import decode_link, encode_link
from evaluation_cancel.consumer.audit.archive.offsets import add_range
from evaluation_cancel.consumer.audit.archive.record_lines import decode_line, encode_line
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.audit.history import History
from tests.support.audit.tampering import Tampering, links, signer_of
from tests.support.fakes.audit import MemoryStore

Change = Callable[[list[RawRecord]], list[RawRecord]]


def rewrite(history: History, store: MemoryStore, topic: str, change: Change, *, cut: bool = False) -> None:
    """Replace the chain of the topic's partition with the most links by one valid link with changed records.

    With `cut` the link ends at its last record. Else it ends where the chain did, and missing offsets count as absent.
    """
    keys, records = links(store.objects, topic), []
    trusted = wiring.trusted_keys(history.settings)
    old = [decode_link(store.objects.pop(key), trusted) for key in keys]
    for link in old:
        if link.data is not None:
            records += [decode_line(line) for line in gzip.decompress(store.objects.pop(link.data)).splitlines()]
    records = change([replace(r, timestamp_ms=records[0].timestamp_ms) for r in records])  # all of one day
    body = gzip.compress(b"".join(map(encode_line, records)), mtime=0)
    sha256 = hashlib.sha256(body).hexdigest()
    data = data_key(topic, day_of(records[0].timestamp_ms), old[0].partition, 0, sha256)
    last = records[-1].offset if cut else max(old[-1].last, records[-1].offset)
    absent: list[tuple[int, int]] = []
    for offset in sorted(set(range(last + 1)) - {r.offset for r in records}):
        add_range(absent, offset, offset)
    link = replace(old[0], last=last, absent=tuple(absent), records=len(records), data=data, sha256=sha256)
    store.objects |= {data: body, keys[0]: encode_link(link, signer_of(history))}


def change_a_record(history: History, store: MemoryStore) -> tuple[str, str]:
    """Change the actor of events, so that they differ from their commands."""

    def change(records: list[RawRecord]) -> list[RawRecord]:
        return [replace(r, value=(r.value or b"").replace(b'"id":"ada', b'"id":"bob')) for r in records]

    rewrite(history, store, history.settings.topics.events, change)
    return "messages row", "row_differs"


def drop_a_command(history: History, store: MemoryStore) -> tuple[str, str]:
    rewrite(history, store, history.settings.topics.commands, lambda records: records[1:])
    return "commands row", "row_without_record"


def drop_an_event(history: History, store: MemoryStore) -> tuple[str, str]:
    rewrite(history, store, history.settings.topics.events, _without_the_last_kind)
    return "messages row", "not_archived"


def _without_the_last_kind(records: list[RawRecord]) -> list[RawRecord]:
    """Drop every copy of the last event."""
    return [r for r in records if r.value != records[-1].value]


def swap_two_commands(history: History, store: MemoryStore) -> tuple[str, str]:
    """Exchange the positions of two commands."""

    def swap(records: list[RawRecord]) -> list[RawRecord]:
        ids = [dict(r.headers).get("ce_id") for r in records]
        other = next(n for n, identity in enumerate(ids) if identity != ids[0])
        swapped = list(records)
        swapped[0] = replace(records[other], offset=records[0].offset)
        swapped[other] = replace(records[0], offset=records[other].offset)
        return swapped

    rewrite(history, store, history.settings.topics.commands, swap)
    return "commands row", "row_without_record"


def insert_a_command(history: History, store: MemoryStore) -> tuple[str, str]:
    """Insert a command that was never sent or decided."""
    where = []

    def insert(records: list[RawRecord]) -> list[RawRecord]:
        model = next(r for r in records if dict(r.headers).get("ce_id"))
        headers = tuple({**dict(model.headers), "ce_id": str(uuid4()).encode()}.items())
        forged = replace(model, offset=records[-1].offset + 1, headers=headers)
        where.append(f"{forged.topic}[{forged.partition}]@{forged.offset}")
        return [*records, forged]

    rewrite(history, store, history.settings.topics.commands, insert)
    return where[0], "undecided"


def insert_an_event(history: History, store: MemoryStore) -> tuple[str, str]:
    """Insert an event for a command that was never sent."""
    where = []

    def insert(records: list[RawRecord]) -> list[RawRecord]:
        changed = {"ce_id": str(uuid4()).encode(), "ce_causationid": b"never-sent"}
        headers = tuple({**dict(records[0].headers), **changed}.items())
        forged = replace(records[0], offset=records[-1].offset + 1, headers=headers)
        where.append(f"{forged.topic}[{forged.partition}]@{forged.offset}")
        return [*records, forged]

    rewrite(history, store, history.settings.topics.events, insert)
    return where[0], "event_without_command"


def truncate_the_events(history: History, store: MemoryStore) -> tuple[str, str]:
    """Cut the last event off, as if the archive ended before it."""
    rewrite(history, store, history.settings.topics.events, _without_the_last_kind, cut=True)
    return "messages row", "not_archived"


STOLEN: Final[tuple[Tampering, ...]] = (
    change_a_record,
    drop_a_command,
    drop_an_event,
    swap_two_commands,
    insert_a_command,
    insert_an_event,
    truncate_the_events,
)
