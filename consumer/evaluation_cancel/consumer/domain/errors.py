"""What can go wrong with a remote system, sorted by what to do about it.

A `TemporaryError` is tried again, a `Refusal` is a definite no after which nothing has changed. Both carry a
stable code for logs, metrics and Postgres. Translating a client library's exceptions into these is the business of
the module that calls that library (`kubernetes/client.py`, `s3/artifacts.py`, `store/`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DETAIL_LIMIT = 1000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def scrub(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Foreign text made fit for Postgres and for events: no NUL, no lone surrogates, of bounded length."""
    clean = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class CancellationError(Exception):
    """Something on the way of a cancellation failed; `code` is stable snake_case, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = scrub(detail)
        super().__init__(f"{code}: {self.detail}")


class TemporaryError(CancellationError):
    """May well work later. `outcome_unknown` means that the call may have been performed all the same."""

    def __init__(
        self, code: str, detail: str, retry_after: float | None = None, *, outcome_unknown: bool = False
    ) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class Refusal(CancellationError):  # noqa: N818  # a refusal is an answer, not a fault
    """A definite no: nothing was changed by the call."""


class Unstorable(CancellationError):  # noqa: N818  # names the value, as `Refusal` names the answer
    """Postgres will never take one of these values; halve the batch to find out which."""


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds out of a `Retry-After` header, which holds seconds or a date; None when nothing is usable."""
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
