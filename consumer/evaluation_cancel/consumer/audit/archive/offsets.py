"""Sets of offsets in the text form of a link, such as `17 20-25`: ascending, in the fewest possible ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Ranges = tuple[tuple[int, int], ...]
"""Inclusive (first, last), ascending, neither touching nor overlapping."""

_RANGE = re.compile(r"(0|[1-9]\d{0,18})(?:-([1-9]\d{0,18}))?", re.ASCII)


def write_ranges(ranges: Iterable[tuple[int, int]]) -> str:
    """The text form; `-` for no offsets."""
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges) or "-"


def read_ranges(text: str) -> Ranges:
    """Parse the text form. Raises `ValueError` for any text that `write_ranges` does not write."""
    if text == "-":
        return ()
    ranges: list[tuple[int, int]] = []
    for part in text.split(" "):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not a range of offsets"[:100])
        first, last = int(match[1]), int(match[2] or match[1])
        if (match[2] and last <= first) or (ranges and first <= ranges[-1][1] + 1):
            raise ValueError(f"{part!r} is out of order"[:100])
        ranges.append((first, last))
    return tuple(ranges)


def add_range(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    """Append a range, merged with the last one if they touch. An empty range (last < first) adds nothing."""
    if last < first:
        return
    if ranges and ranges[-1][1] + 1 == first:
        ranges[-1] = (ranges[-1][0], last)
    else:
        ranges.append((first, last))


def count(ranges: Sequence[tuple[int, int]]) -> int:
    """How many offsets the ranges contain."""
    return sum(last - first + 1 for first, last in ranges)
