"""One link of the archive's chain: its fields, its text form, its signature. Storing a link commits its offsets.

The text has lines of `name: value` with fixed names in a fixed order, so that a shell can parse it. The last line signs
all lines before it. `chain.py` finds links, `keys.py` has their keys.
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
    """The bytes are not a link that `encode_link` could have written. The message gives the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Offsets `first` to `last` of one partition, and the data object with their records."""

    topic: str
    partition: int
    first: int
    last: int
    records: int
    absent: Ranges
    """Offsets without a readable record: control records, aborted transactions, compacted records."""
    expired: Ranges
    """Offsets that Kafka no longer had when the archiver read them."""
    first_timestamp: int | None
    """The lowest timestamp of the records, in milliseconds; None without records."""
    last_timestamp: int | None
    data: str | None
    """Key of the data object, below the archive's prefix; None without records."""
    sha256: str | None
    """SHA-256 of the compressed data object; None without records."""
    previous: str | None
    """SHA-256 of the previous link as stored, with its signature; None for the first link of a partition."""


def encode_link(link: Link, signer: Signer) -> bytes:
    """The signed text. The same link and the same key always give the same bytes."""
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
    """SHA-256 of a stored link, as the next link names it."""
    return hashlib.sha256(raw).hexdigest()


def decode_link(raw: bytes, trusted: TrustedKeys) -> Link:
    """Decode and verify a link. Raises `BrokenLink` unless `encode_link` writes these bytes with a trusted key."""
    try:
        signed, _, signature = raw.decode("ascii").rpartition("signature: ")
        head, *lines, end = signed.split("\n")
        pairs = [line.partition(": ") for line in lines]
        if head != FORMAT or end or tuple(name for name, _, _ in pairs) != _NAMES:
            raise BrokenLink("does not have the format of a link")
        values = {name: value for name, _, value in pairs}
        if values["key"] not in trusted:
            raise BrokenLink(f"is signed with an unknown key {values['key'][:64]}")
        decoded = base64.b64decode(signature.removesuffix("\n"), validate=True)
        # Base64 can encode the same bytes in several ways. Only the canonical one is accepted.
        if signature != f"{base64.b64encode(decoded).decode()}\n" or not trusted.check(
            values["key"], decoded, signed.encode()
        ):
            raise BrokenLink("has a signature that does not match its text")
        link = _link(values)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise (
            error if isinstance(error, BrokenLink) else BrokenLink(f"does not have the format of a link: {error}")
        ) from None
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
    """Raise `BrokenLink` unless each offset is accounted for exactly once."""
    span = link.last - link.first + 1
    if span < 1 or link.records < 0 or link.records + count(link.absent) + count(link.expired) != span:
        raise BrokenLink("does not account for each of its offsets")
    if (link.data is None) != (link.records == 0) or (link.sha256 is None) != (link.data is None):
        raise BrokenLink("names a data object without records, or records without a data object")


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a number"[:100])
    return int(text)


def _digest(text: str) -> str | None:
    if text == NONE:
        return None
    if _DIGEST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a SHA-256"[:100])
    return text
