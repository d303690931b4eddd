"""Which keys of a bucket may be deleted for an evaluation. Pure, and narrow on purpose.

Artifacts are under `<root>/<evaluation id>/`. So is the request file, which is never deleted; if its key is unknown,
nothing is deleted. Unusual keys are kept: a key kept by mistake costs storage, a key deleted by mistake is lost.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from uuid import UUID

_MOST_BYTES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletablePrefix:
    """The part of a bucket that belongs to one evaluation."""

    prefix: str
    request_keys: frozenset[str]
    """All keys that the recorded request key can mean, normalised."""

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
    """The prefix that is safe to clean, or the code of the reason why there is none."""
    if not request_key:
        return "no_request_key"
    if not bucket or not prefix:
        return "no_artifacts_location"
    if not _is_safe_prefix(prefix, evaluation_id):
        return "unsafe_prefix"
    return DeletablePrefix(prefix=prefix, request_keys=_readings(request_key, bucket, prefix))


def _is_safe_prefix(prefix: str, evaluation_id: UUID) -> bool:
    """True for a plain path that ends in the evaluation's own folder."""
    if not prefix.endswith("/") or len(prefix.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        return False
    folders = prefix[:-1].split("/")
    return folders[-1] == str(evaluation_id) and all(folders) and _is_plain(prefix[:-1])


def _is_plain(path: str) -> bool:
    """True if the path has no `.` or `..`, which some stores resolve, no NUL and no lone surrogates."""
    if any(unicodedata.category(character) == "Cs" for character in path):
        return False
    segments = path.replace("\\", "/").split("/")
    return "\0" not in path and not any(segment in {".", ".."} for segment in segments)


def _readings(request_key: str, bucket: str, prefix: str) -> frozenset[str]:
    """The keys that `request_key` can mean: it may be a URL, start with a slash, or be relative to the prefix."""
    key = request_key.removeprefix(f"s3://{bucket}/")
    plain = {request_key, key, key.lstrip("/")}
    return frozenset(_normal(reading) for reading in plain | {prefix + reading.lstrip("/") for reading in plain})


def _normal(key: str) -> str:
    return unicodedata.normalize("NFC", key)
