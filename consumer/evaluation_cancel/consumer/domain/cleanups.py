"""Values between the cleanup loop and its store: a claimed cleanup, and the outcome of an attempt.

`cleanup/attempt.py` makes the outcomes, `cleanup/store.py` reads and writes both.
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
    """An object that was not deleted, on purpose or not; `why` is stable snake_case or a code of S3."""

    key: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupReport:
    """What attempts have done so far; passed on from attempt to attempt, and published at the end."""

    deleted_count: int = 0
    """Objects that S3 reported as deleted, over all attempts."""
    deleted_bytes: int = 0
    kept_count: int = 0
    """Objects kept on purpose, counted by the last attempt."""
    failed_count: int = 0
    """Objects that could not be deleted, counted by the last attempt."""
    kept: tuple[KeptObject, ...] = ()
    """At most 100 of both."""
    failed_codes: Mapping[str, int] = field(default_factory=dict)
    """How often each code prevented a deletion; also `no_request_key`, `unsafe_prefix` and `deadline`."""
    aborted_uploads: int = 0
    versions_retained: int | None = None
    """Old versions that a versioned bucket still holds; None when they could not be counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCleanup:
    """A cleanup to be done, held by this process until its lease ends. `id` is the cancellation's."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    """Grows with every claim; an outcome with an older number is ignored."""
    errors: int = 0
    """How many of the latest attempts in a row ended in `RetryCleanup` for an error."""
    bucket: str | None
    prefix: str | None
    request_key: str | None
    report: CleanupReport = field(default_factory=CleanupReport)
    deadline_at: datetime
    """When to give up and report what is left."""
    deadline: float
    """`time.monotonic()` after which no remote write may start: the lease's end minus the longest call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaned:
    """Over. `partial`: something that should be deleted is left, or could not be listed."""

    report: CleanupReport
    state: Literal["done", "partial"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryCleanup:
    """Not over; another attempt continues. The code `continued` is no error: the lease was used up."""

    report: CleanupReport
    code: str
    detail: str
    retry_in: float
    """Seconds."""


CleanupOutcome = Cleaned | RetryCleanup
