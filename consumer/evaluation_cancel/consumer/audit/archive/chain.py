"""Reads links of a partition's chain: the last one, for the archiver, or the one at a key, for readers.

Only sound links are returned: signed by a trusted key and stored at their own key. `audit/verify/chain_check.py`
reports the others. The content of a link is in `link.py`.
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
"""Offsets before the partition's end in which to search for the last link first; it is usually there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The end of a partition's chain: the next offset to archive, and the digest that the next link must contain."""

    next_offset: int
    digest: str | None


EMPTY: Final = Head(next_offset=0, digest=None)


async def read_link(store: ObjectStore, trusted: TrustedKeys, key: str) -> tuple[Link, Head] | None:
    """The link at a key and the head after it, or None if there is no such object. Raises `Refusal` if it is broken."""
    raw = await store.get(key)
    return None if raw is None else accept(raw, trusted, key)


def accept(raw: bytes, trusted: TrustedKeys, key: str) -> tuple[Link, Head]:
    """Decode a link that was stored at `key`. Raises `Refusal` if it is broken or belongs to another key."""
    try:
        link = decode_link(raw, trusted)
    except BrokenLink as error:
        raise Refusal("broken_link", f"{key} {error}") from error
    if link_key(link.topic, link.partition, link.first) != key:
        raise Refusal("broken_link", f"{key} is the link of {link.topic}[{link.partition}] from {link.first}")
    return link, Head(next_offset=link.last + 1, digest=digest(raw))


async def find_head(store: ObjectStore, trusted: TrustedKeys, topic: str, partition: int, end: int) -> Head:
    """The head of the chain, from the last link that the store lists. The search starts near the partition's `end`."""
    prefix, back, after = chain_prefix(topic, partition), _FIRST_STEP, ""
    while not after and back < end:
        candidate = link_key(topic, partition, end - back)
        if await store.any_key(prefix, candidate):
            after = candidate
        back *= 8
    last = None
    async for key in store.keys(prefix, after):
        last = key
    if last is None:
        return EMPTY
    found = await read_link(store, trusted, last)
    if found is None:
        raise Refusal("broken_chain", f"{last} was listed but cannot be found")
    return found[1]
