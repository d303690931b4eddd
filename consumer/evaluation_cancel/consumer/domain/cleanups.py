"""Values that pass between the store and the loop that cleans artifacts up: what is claimed, and what came of it.

No I/O and no rules here: `cleanup/attempt.py` makes the outcomes, `store/` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

KEPT_IN_REPORT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptObject:
    """An object left where it was, on purpose or not; `why` is stable snake_case, or the store's own code."""

    key: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupReport:
    """What has become of the artifacts so far; carried from attempt to attempt, and published at the end."""

    deleted_count: int = 0
    """Objects that the store said were deleted, over all attempts."""
    deleted_bytes: int = 0
    kept_count: int = 0
    """Objects left on purpose, as the last attempt found them."""
    failed_count: int = 0
    """Objects that could not be deleted, as the last attempt found them."""
    kept: tuple[KeptObject, ...] = ()
    """At most 100 of both."""
    failed_codes: Mapping[str, int] = field(default_factory=dict)
    """How often each code stood in the way; `no_request_key`, `unsafe_prefix` and `deadline` among them."""
    aborted_uploads: int = 0
    versions_retained: int | None = None
    """Old versions that a versioned bucket still holds; None when that could not be learnt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCleanup:
    """A cleanup to be done, held by this process until its lease ends. `id` is the cancellation's."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    """Grows with every claim; a finish with an older number is ignored."""
    errors: int = 0
    """How many claims in a row, up to the last, ended in `RetryCleanup` for an error."""
    bucket: str | None
    prefix: str | None
    request_key: str | None
    report: CleanupReport = field(default_factory=CleanupReport)
    deadline_at: datetime
    """When to give up and say what is left."""
    deadline: float
    """`time.monotonic()` after which no remote write may start: the lease's end less the longest call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """Over. `partial`: something was left that ought to have gone, or that could not be looked at."""

    report: CleanupReport
    state: Literal["done", "partial"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryCleanup:
    """Not over; to be gone on with. The code `continued` is no error: the lease was used up."""

    report: CleanupReport
    code: str
    detail: str
    retry_in: float
    """Seconds."""


CleanupOutcome = Cleaned | RetryCleanup
