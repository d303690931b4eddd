"""The port to the archive's object store: read, list, and create without overwriting.

It has no call that overwrites or deletes. `s3_object_store.py` implements it on S3.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Protocol

from evaluation_cancel.consumer.audit.archive.keys import PROBE
from evaluation_cancel.consumer.domain.errors import Refusal


class ObjectStore(Protocol):
    """An object store. Keys are relative to the archive's prefix. Methods raise `TemporaryError` and `Refusal`."""

    async def get(self, key: str) -> bytes | None:
        """The whole object, or None if there is no such key."""

    async def create(self, key: str, body: bytes) -> bool:
        """Store the object atomically unless the key exists. Returns whether it was stored."""

    def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """The keys with this prefix that sort after `after`, in order."""

    async def any_key(self, prefix: str, after: str) -> bool:
        """Whether a key with this prefix sorts after `after`."""


async def probe(store: ObjectStore) -> None:
    """Test conditional puts with a small object. Raises `Refusal` if the store overwrites an existing key."""
    mark = os.urandom(16).hex().encode()
    await store.create(PROBE, mark)
    if await store.create(PROBE, b"overwritten " + mark) or await store.get(PROBE) in (None, b"overwritten " + mark):
        raise Refusal(
            "conditional_put_ignored",
            "the object store ignores If-None-Match and overwrites: two archivers could overwrite each other's links",
        )
