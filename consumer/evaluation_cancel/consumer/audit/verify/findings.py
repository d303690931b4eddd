"""What `verify` found: defects, each with the exact place, and notices of what is only unfinished or worth knowing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MOST_LISTED: Final = 1000
"""Of each code; more are counted. One lost object must not hide everything else, nor fill the memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`where` is an object's key, a position `topic[partition]@offset`, an evaluation, or a row."""

    where: str
    code: str
    detail: str


@dataclass(kw_only=True, slots=True)
class Findings:
    """Collects. Defects make `verify` fail, notices do not."""

    defects: list[Finding] = field(default_factory=list)
    notices: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How much was looked at, by what it is, and how many findings there were of each code."""

    def defect(self, where: str, code: str, detail: str) -> None:
        self._add(self.defects, where, code, detail)

    def notice(self, where: str, code: str, detail: str) -> None:
        self._add(self.notices, where, code, detail)

    def _add(self, to: list[Finding], where: str, code: str, detail: str) -> None:
        self.counts[code] += 1
        if self.counts[code] <= MOST_LISTED:
            to.append(Finding(where=where, code=code, detail=detail))
