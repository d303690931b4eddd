"""Errors of remote systems, sorted by what to do about them.

A `TemporaryError` is tried again; after a `Refusal` it is certain that nothing has changed. Both carry a stable code
for logs, metrics and Postgres. The module that calls a client library translates its exceptions into these
(`kubernetes/client.py`, `s3/artifacts.py`, `sql/database.py`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DETAIL_LIMIT = 1000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def scrub(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Makes foreign text storable in Postgres and events: no NUL, no lone surrogates, at most `limit` characters."""
    clean = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class CancellationError(Exception):
    """A step of a cancellation failed; `code` is stable snake_case, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = scrub(detail)
        super().__init__(f"{code}: {self.detail}")


class TemporaryError(CancellationError):
    """May succeed later. `outcome_unknown` means that the call may have been performed; `retry_after` is in seconds."""

    def __init__(
        self, code: str, detail: str, retry_after: float | None = None, *, outcome_unknown: bool = False
    ) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class Refusal(CancellationError):  # noqa: N818  # a refusal is an answer, not a fault
    """A definite no: the call changed nothing."""


class Unstorable(CancellationError):  # noqa: N818  # names the value, as `Refusal` names the answer
    """Postgres will never store one of these values; halve the batch to find it."""


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a `Retry-After` header, which holds seconds or a date; at most an hour, None if it is invalid."""
    if not value:
        return None
    try:
        return max(0.0, min(float(int(value)), 3600.0))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, min((moment - (now or datetime.now(UTC))).total_seconds(), 3600.0))
