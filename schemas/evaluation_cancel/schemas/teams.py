"""One team, however it is spelled: `team_` before a UUID, with or without dashes, in either case, is that UUID.

The Console's tokens write `team_<32 hex digits>` where tables hold a UUID. Any other name stands for itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from uuid import UUID

_UUID: Final = re.compile(
    r"(?:team[_-])?([0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE
)


@lru_cache(maxsize=4096)
def canonical_team(name: str) -> str:
    """The UUID in its usual spelling, or the name as it is."""
    found = _UUID.fullmatch(name)
    return str(UUID(found[1])) if found is not None else name


def spellings(name: str) -> tuple[str, ...]:
    """The usual spellings of the same team, for queries that compare texts."""
    if _UUID.fullmatch(name) is None:
        return (name,)
    dashed = canonical_team(name)
    digits = dashed.replace("-", "")
    return tuple(
        dict.fromkeys((name, dashed, digits, dashed.upper(), digits.upper(), f"team_{digits}", f"team_{dashed}"))
    )
