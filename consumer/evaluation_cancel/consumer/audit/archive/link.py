"""One link of the archive's chain: what it names, its text, its signature. The commit point of the archive.

The text is lines of `name: value`, always the same names in the same order, so that a shell can read it; the last one
signs all before it. Which links make up a chain is `chain.py`, where they lie `keys.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from evaluation_cancel.consumer.audit.archive.offsets import Ranges, count, read_ranges, write_ranges
from evaluation_cancel.consumer.audit.archive.signing import Signer, TrustedKeys

FORMAT: Final = "evaluation-cancel archive link 1"
NONE: Final = "-"
_NAMES: Final = (
    "topic",
    "partition",
    "from",
    "to",
    "records",
    "absent",
    "expired",
    "first-timestamp",
    "last-timestamp",
    "data",
    "sha256",
    "previous",
    "key",
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)


class BrokenLink(ValueError):  # noqa: N818  # names the link
    """Bytes that are no link, or one that contradicts itself; says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Offsets `first` to `last` of one partition, and the object that holds their records."""

    topic: str
    partition: int
    first: int
    last: int
    records: int
    absent: Ranges
    """Offsets that hold no record for readers: control records, aborted or compacted ones."""
    expired: Ranges
    """Offsets that Kafka no longer had when the archiver came: lost to the archive."""
    first_timestamp: int | None
    """The least of the records', in milliseconds; None without records."""
    last_timestamp: int | None
    data: str | None
    """Key of the data object, below the archive's prefix; None without records."""
    sha256: str | None
    """Of the data object as it is stored, compressed."""
    previous: str | None
    """SHA-256 of the previous link as it is stored, its signature included; None for the first."""


def encode_link(link: Link, signer: Signer) -> bytes:
    """The signed text. The same link and key always give the same bytes."""
    values = (
        link.topic,
        str(link.partition),
        str(link.first),
        str(link.last),
        str(link.records),
        write_ranges(link.absent),
        write_ranges(link.expired),
        NONE if link.first_timestamp is None else str(link.first_timestamp),
        NONE if link.last_timestamp is None else str(link.last_timestamp),
        link.data or NONE,
        link.sha256 or NONE,
        link.previous or NONE,
        signer.key_id,
    )
    lines = [FORMAT, *(f"{name}: {value}" for name, value in zip(_NAMES, values, strict=True))]
    signed = "".join(f"{line}\n" for line in lines).encode()
    return signed + b"signature: " + base64.b64encode(signer.sign(signed)) + b"\n"


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def decode_link(raw: bytes, trusted: TrustedKeys) -> Link:
    """Raises `BrokenLink` for whatever is not exactly what `encode_link` writes under a trusted key."""
    try:
        signed, _, signature = raw.decode("ascii").rpartition("signature: ")
        head, *lines, end = signed.split("\n")
        pairs = [line.partition(": ") for line in lines]
        if head != FORMAT or end or tuple(name for name, _, _ in pairs) != _NAMES:
            raise BrokenLink("is not in the form of a link")
        values = {name: value for name, _, value in pairs}
        if values["key"] not in trusted:
            raise BrokenLink(f"is signed with an unknown key {values['key'][:64]}")
        made = base64.b64decode(signature.removesuffix("\n"), validate=True)
        # Base64 can spell the same bytes in several ways; only one of them is the link.
        if signature != f"{base64.b64encode(made).decode()}\n" or not trusted.check(
            values["key"], made, signed.encode()
        ):
            raise BrokenLink("has a signature that does not fit its text")
        link = _link(values)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise error if isinstance(error, BrokenLink) else BrokenLink(f"is not in the form of a link: {error}") from None
    _check(link)
    return link


def _link(values: dict[str, str]) -> Link:
    return Link(
        topic=values["topic"],
        partition=_integer(values["partition"]),
        first=_integer(values["from"]),
        last=_integer(values["to"]),
        records=_integer(values["records"]),
        absent=read_ranges(values["absent"]),
        expired=read_ranges(values["expired"]),
        first_timestamp=None if values["first-timestamp"] == NONE else _integer(values["first-timestamp"]),
        last_timestamp=None if values["last-timestamp"] == NONE else _integer(values["last-timestamp"]),
        data=None if values["data"] == NONE else values["data"],
        sha256=_digest(values["sha256"]),
        previous=_digest(values["previous"]),
    )


def _check(link: Link) -> None:
    """Every offset is accounted for, once."""
    span = link.last - link.first + 1
    if span < 1 or link.records < 0 or link.records + count(link.absent) + count(link.expired) != span:
        raise BrokenLink("does not account for each of its offsets")
    if (link.data is None) != (link.records == 0) or (link.sha256 is None) != (link.data is None):
        raise BrokenLink("names no data object for its records")


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no number"[:100])
    return int(text)


def _digest(text: str) -> str | None:
    if text == NONE:
        return None
    if _DIGEST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no SHA-256"[:100])
    return text
