"""Walks the chain of one partition in the archive: its last link, for whoever writes on, and all links, for readers.

What a link says is `link.py`. Every link that is given out is signed by a known key and lies where it says it does;
`audit/verify/chain_check.py` judges the ones that are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evaluation_cancel.consumer.audit.archive.keys import chain_prefix, link_key
from evaluation_cancel.consumer.audit.archive.link import BrokenLink, Link, decode_link, digest
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.domain.errors import Refusal

_FIRST_STEP: Final = 4096
"""Offsets to look back for the last link before looking further: it is near the end of the partition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where the chain of a partition ends: the next offset to archive, and the digest the next link must name."""

    next_offset: int
    digest: str | None


EMPTY: Final = Head(next_offset=0, digest=None)


async def read_link(store: ObjectStore, trusted: TrustedKeys, key: str) -> tuple[Link, Head] | None:
    """The link at a key and the head behind it; None when there is no such object. Raises `Refusal` if it is broken."""
    raw = await store.get(key)
    return None if raw is None else accept(raw, trusted, key)


def accept(raw: bytes, trusted: TrustedKeys, key: str) -> tuple[Link, Head]:
    """The link in these bytes, if it is sound and belongs at this key."""
    try:
        link = decode_link(raw, trusted)
    except BrokenLink as error:
        raise Refusal("broken_link", f"{key} {error}") from error
    if link_key(link.topic, link.partition, link.first) != key:
        raise Refusal("broken_link", f"{key} is the link of {link.topic}[{link.partition}] from {link.first}")
    return link, Head(next_offset=link.last + 1, digest=digest(raw))


async def find_head(store: ObjectStore, trusted: TrustedKeys, topic: str, partition: int, end: int) -> Head:
    """The end of the chain as the store lists it. `end` is the partition's, and only where the search begins."""
    prefix, back, after = chain_prefix(topic, partition), _FIRST_STEP, ""
    while not after and back < end:
        behind = link_key(topic, partition, end - back)
        if await store.any_key(prefix, behind):
            after = behind
        back *= 8
    last = None
    async for key in store.keys(prefix, after):
        last = key
    if last is None:
        return EMPTY
    found = await read_link(store, trusted, last)
    if found is None:
        raise Refusal("broken_chain", f"{last} was listed and is not there")
    return found[1]
