"""NEW."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_KEYS = 1000
"""The most that one DeleteObjects may name. Not every store refuses more, and none promises what it does then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    key: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A multipart upload that was begun and not ended; no list of objects shows it."""

    key: str
    upload_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Undeleted:
    """A key that could not be deleted; `final` means that trying again will not help."""

    key: str
    code: str
    final: bool


class Artifacts(Protocol):
    """Raises `TemporaryError` and `Refusal` as `kubernetes/port.py`'s port does."""

    def objects(self, bucket: str, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """The objects there now, page by page."""

    async def delete(self, bucket: str, keys: Sequence[str]) -> list[Undeleted]:
        """Deletes at most `MOST_KEYS` keys; answers those that are not deleted."""

    def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Upload]]:
        """The multipart uploads under way, page by page."""

    async def abort(self, bucket: str, upload: Upload) -> None:
        """Ends an upload; fine if it has ended."""

    def old_versions(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:
        """Keys of the versions that are not the latest, a key as often as it has such versions, page by page."""
