"""The port to the archive's object store: read, list, and create without overwriting. On S3: `s3_object_store.py`.

Nothing is ever overwritten or deleted through it. What the objects mean is the business of the other modules.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Protocol

from evaluation_cancel.consumer.audit.archive.keys import PROBE
from evaluation_cancel.consumer.domain.errors import Refusal


class ObjectStore(Protocol):
    """Keys are below the archive's prefix. Raises `TemporaryError` and `Refusal`."""

    async def get(self, key: str) -> bytes | None:
        """The whole object; None when there is none."""

    async def create(self, key: str, body: bytes) -> bool:
        """Puts it unless the key exists, in one step of the store's; False when it exists."""

    def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """The keys with this prefix that come after `after`, in order."""

    async def any_key(self, prefix: str, after: str) -> bool:
        """Whether there is a key with this prefix behind `after`."""


async def probe(store: ObjectStore) -> None:
    """Raises `Refusal` when the store would let one writer overwrite what another has written."""
    mark = os.urandom(16).hex().encode()
    await store.create(PROBE, mark)
    if await store.create(PROBE, b"overwritten " + mark) or await store.get(PROBE) in (None, b"overwritten " + mark):
        raise Refusal(
            "conditional_put_ignored",
            "the object store overwrites in spite of If-None-Match: two archivers could destroy each other's work",
        )
