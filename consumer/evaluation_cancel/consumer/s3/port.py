"""What the cleanup needs of an object store. `artifacts.py` implements it on S3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_KEYS = 1000
"""Keys in one DeleteObjects at most. Some stores accept more, with undefined results."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """An object in a list. `size` is in bytes."""

    key: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A multipart upload that has not ended. Lists of objects do not show it."""

    key: str
    upload_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Undeleted:
    """A key that could not be deleted. `final`: a retry would fail too."""

    key: str
    code: str
    final: bool


class Artifacts(Protocol):
    """One object store.

    Raises `TemporaryError` when the call may work later, `Refusal` when the store forbids it for the whole bucket.
    """

    def objects(self, bucket: str, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """List the objects below a prefix, page by page."""

    async def delete(self, bucket: str, keys: Sequence[str]) -> list[Undeleted]:
        """Delete at most `MOST_KEYS` keys. Returns those that were not deleted."""

    def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Upload]]:
        """List the multipart uploads that have not ended, page by page."""

    async def abort(self, bucket: str, upload: Upload) -> None:
        """Abort an upload. No error if it has ended."""

    def old_versions(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:
        """List the keys of noncurrent versions, page by page. A key repeats for each such version."""
