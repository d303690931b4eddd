"""The keys of the archive's objects, below its prefix. Numbers are padded, so that a listing is in numeric order.

chain/<topic>/<partition>/<from>                        a link: the commit point of these offsets
data/<topic>/<day>/<partition>-<from>-<sha256>.jsonl.gz the records of one UTC day; counts once a link names it
probe                                                   written by the test for conditional puts
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

PROBE: Final = "probe"
UNDATED: Final = "undated"
"""The day of records without a usable timestamp."""
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY: Final = 2_932_896
"""9999-12-31."""
_DATA: Final = re.compile(
    r"data/(?P<topic>[^/]+)/(?P<day>[^/]+)/(?P<partition>\d{5})-(?P<first>\d{20})-(?P<sha256>[0-9a-f]{64})\.jsonl\.gz",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataKey:
    """The parts of a data object's key."""

    key: str
    topic: str
    day: str
    partition: int
    first: int
    sha256: str


def day_of(timestamp_ms: int) -> str:
    """The UTC day of a record, such as `2026-11-24`, or `UNDATED`."""
    day = timestamp_ms // _DAY_MS
    if timestamp_ms < 0 or day > _LAST_DAY:
        return UNDATED
    return f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"


def data_key(topic: str, day: str, partition: int, first: int, sha256: str) -> str:
    """The key of the data object that starts at offset `first`. `sha256` is of the compressed object."""
    return f"data/{topic}/{day}/{partition:05d}-{first:020d}-{sha256}.jsonl.gz"


def read_data_key(key: str) -> DataKey | None:
    """Parse a data object's key; None for any other key."""
    match = _DATA.fullmatch(key)
    if match is None:
        return None
    return DataKey(
        key=key,
        topic=match["topic"],
        day=match["day"],
        partition=int(match["partition"]),
        first=int(match["first"]),
        sha256=match["sha256"],
    )


def data_prefix(topic: str, day: str = "") -> str:
    """The prefix of a topic's data objects, of one of its days, or with an empty topic of all data objects."""
    return f"data/{topic}/{day}" if topic else "data/"


def link_key(topic: str, partition: int, first: int) -> str:
    """The key of the link that starts at offset `first`."""
    return f"{chain_prefix(topic, partition)}{first:020d}"


def chain_prefix(topic: str, partition: int) -> str:
    """The prefix of all links of a partition."""
    return f"chain/{topic}/{partition:05d}/"


def read_link_key(key: str) -> tuple[str, int, int] | None:
    """Parse a link's key into topic, partition and first offset; None for any other key."""
    match = re.fullmatch(r"chain/([^/]+)/(\d{5})/(\d{20})", key, re.ASCII)
    return None if match is None else (match[1], int(match[2]), int(match[3]))
