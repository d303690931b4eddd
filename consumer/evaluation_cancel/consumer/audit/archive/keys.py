"""Where the archive's objects lie, below its prefix. Numbers are padded, so that a listing is in their order.

chain/<topic>/<partition>/<from>                        a link: the commit point of these offsets
data/<topic>/<day>/<partition>-<from>-<sha256>.jsonl.gz the records of one UTC day; no part of the archive until linked
probe                                                   shows whether the store honours conditional puts
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

PROBE: Final = "probe"
UNDATED: Final = "undated"
"""The day of records whose timestamp is none."""
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
    """What a data object's key says."""

    key: str
    topic: str
    day: str
    partition: int
    first: int
    sha256: str


def day_of(timestamp_ms: int) -> str:
    """The UTC day of a record, `2026-11-24`."""
    day = timestamp_ms // _DAY_MS
    if timestamp_ms < 0 or day > _LAST_DAY:
        return UNDATED
    return f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"


def data_key(topic: str, day: str, partition: int, first: int, sha256: str) -> str:
    return f"data/{topic}/{day}/{partition:05d}-{first:020d}-{sha256}.jsonl.gz"


def read_data_key(key: str) -> DataKey | None:
    """None for a key that is not one of ours."""
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
    """Of all data objects of a topic, or of one of its days; of all objects for topic ``."""
    return f"data/{topic}/{day}" if topic else "data/"


def link_key(topic: str, partition: int, first: int) -> str:
    return f"{chain_prefix(topic, partition)}{first:020d}"


def chain_prefix(topic: str, partition: int) -> str:
    return f"chain/{topic}/{partition:05d}/"


def read_link_key(key: str) -> tuple[str, int, int] | None:
    """(topic, partition, from); None for a key that is not one of ours."""
    match = re.fullmatch(r"chain/([^/]+)/(\d{5})/(\d{20})", key, re.ASCII)
    return None if match is None else (match[1], int(match[2]), int(match[3]))
