"""Which keys of a bucket may be deleted for an evaluation. Pure, and deliberately narrow.

An artifact lies under `<root>/<evaluation id>/`. The request file lies there too and is never deleted; where it is not
known, nothing is. What looks odd is kept: a key kept by mistake costs storage, a key deleted by mistake is gone.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from uuid import UUID

_MOST_BYTES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletablePrefix:
    """What belongs to one evaluation in its bucket."""

    prefix: str
    request_keys: frozenset[str]
    """The request file under every reading of its key, normalised."""

    def why_kept(self, key: str) -> str | None:
        """Why this key must not be deleted, or None if it may be."""
        if not key.startswith(self.prefix):
            return "outside_prefix"
        if _normal(key) in self.request_keys:
            return "request_file"
        if not _is_plain(key[len(self.prefix) :]):
            return "unsafe_key"
        return None


def deletable_prefix(
    evaluation_id: UUID, *, bucket: str | None, prefix: str | None, request_key: str | None
) -> DeletablePrefix | str:
    """The evaluation's territory, or the code of why there is none that would be safe to clean."""
    if not request_key:
        return "no_request_key"
    if not bucket or not prefix:
        return "no_artifacts_location"
    if not _is_safe_prefix(prefix, evaluation_id):
        return "unsafe_prefix"
    return DeletablePrefix(prefix=prefix, request_keys=_readings(request_key, bucket, prefix))


def _is_safe_prefix(prefix: str, evaluation_id: UUID) -> bool:
    """A whole path that ends in this very evaluation's own folder, and wanders nowhere on the way."""
    if not prefix.endswith("/") or len(prefix.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        return False
    folders = prefix[:-1].split("/")
    return folders[-1] == str(evaluation_id) and all(folders) and _is_plain(prefix[:-1])


def _is_plain(path: str) -> bool:
    """No way up or out, for stores that take keys for paths; nothing that text cannot hold."""
    if any(unicodedata.category(character) == "Cs" for character in path):
        return False
    segments = path.replace("\\", "/").split("/")
    return "\0" not in path and not any(segment in {".", ".."} for segment in segments)


def _readings(request_key: str, bucket: str, prefix: str) -> frozenset[str]:
    """A key may have been written down as a URL, with a leading slash, or relative to the prefix."""
    key = request_key.removeprefix(f"s3://{bucket}/")
    plain = {request_key, key, key.lstrip("/")}
    return frozenset(_normal(reading) for reading in plain | {prefix + reading.lstrip("/") for reading in plain})


def _normal(key: str) -> str:
    return unicodedata.normalize("NFC", key)
