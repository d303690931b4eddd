"""The results of `verify`: defects, and notices of things that are unfinished or worth knowing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MOST_LISTED: Final = 1000
"""Findings listed of each code; more are only counted. So one lost object cannot hide other findings or fill memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`where` is an object's key, a position `topic[partition]@offset`, an evaluation, or a row."""

    where: str
    code: str
    detail: str


@dataclass(kw_only=True, slots=True)
class Findings:
    """Collects findings. Defects make `verify` fail, notices do not."""

    defects: list[Finding] = field(default_factory=list)
    notices: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """How many objects, records and rows of each kind were checked, and how many findings each code has."""

    def defect(self, where: str, code: str, detail: str) -> None:
        """Add a defect."""
        self.add(where, code, detail, is_defect=True)

    def notice(self, where: str, code: str, detail: str) -> None:
        """Add a notice."""
        self.add(where, code, detail, is_defect=False)

    def add(self, where: str, code: str, detail: str, *, is_defect: bool) -> None:
        """Add a defect or a notice."""
        self.counts[code] += 1
        if self.counts[code] <= MOST_LISTED:
            (self.defects if is_defect else self.notices).append(Finding(where=where, code=code, detail=detail))
