"""The Prefer header (RFC 7240): how long a caller is ready to wait. Unknown preferences are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_WAIT: Final = re.compile(r'wait\s*=\s*"?(\d{1,6})"?', re.IGNORECASE)
_RESPOND_ASYNC: Final = "respond-async"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """What a caller prefers, within our limits."""

    seconds: float
    """To wait at most."""
    until_decided: bool = False
    """An answer is wanted as soon as the command is decided, without waiting for its end."""
    applied: str | None = None
    """For Preference-Applied."""


def preference(headers: Iterable[str], *, default_wait: float, longest_wait: float) -> Preference:
    """The first of each preference counts. `respond-async` beside a wait means: async when that time is over."""
    wait: int | None = None
    respond_async = False
    for stated in ",".join(headers).split(","):
        name = stated.partition(";")[0].strip()
        found = _WAIT.fullmatch(name)
        if found and wait is None:
            wait = int(found.group(1))
        respond_async = respond_async or name.lower() == _RESPOND_ASYNC
    if wait is not None:
        seconds = min(float(wait), longest_wait)
        applied = f"wait={seconds:g}" + (f", {_RESPOND_ASYNC}" if respond_async else "")
        return Preference(seconds=seconds, applied=applied)
    if respond_async:
        return Preference(seconds=default_wait, until_decided=True, applied=_RESPOND_ASYNC)
    return Preference(seconds=default_wait)
