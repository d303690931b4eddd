"""Unpacks the batches of Kafka's codecs up to a limit, so that no record can fill the memory.

aiokafka unpacks a batch whole, whatever its size will be: 400 KB of gzip can be 400 MB of zeros. gzip is unpacked in
steps, snappy says its size beforehand, lz4 and zstd write into a buffer that grows up to the limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import cramjam
from aiokafka.record import default_records, legacy_records

MAX_UNPACKED_BYTES: Final = 32 * 1024 * 1024
"""Of one batch. Producers pack at most max.message.bytes, 1 MiB by default, and JSON packs 10 to 20 times smaller."""

_FIRST_BUFFER: Final = 256 * 1024
_GROWTH: Final = 8
_GZIP: Final = 31
"""zlib's code for a gzip header and trailer."""
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16


class TooLargeToUnpack(Exception):  # noqa: N818 - a fact about the batch
    """A batch would be larger than the limit."""


def unpack_gzip(packed: Any) -> bytes:
    left, parts, room = bytes(packed), [], MAX_UNPACKED_BYTES
    while left:
        unpacking = zlib.decompressobj(_GZIP)
        parts.append(unpacking.decompress(left, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise TooLargeToUnpack
        if not unpacking.eof:
            raise EOFError("the compressed data ends before its end-of-stream marker")
        left = unpacking.unused_data
    return b"".join(parts)


def unpack_lz4(packed: Any) -> bytes:
    return _into_growing_buffer(cramjam.lz4.decompress_into, bytes(packed))


def unpack_zstd(packed: Any) -> bytes:
    return _into_growing_buffer(cramjam.zstd.decompress_into, bytes(packed))


def unpack_snappy(packed: Any) -> bytes:
    """Raw, or in the blocks of the Java client, each behind its length."""
    whole = bytes(packed)
    blocks = [whole]
    if whole.startswith(_XERIAL):
        blocks, position = [], _XERIAL_HEADER_BYTES
        while position < len(whole):
            (length,) = struct.unpack_from("!i", whole, position)
            blocks.append(whole[position + 4 : position + 4 + length])
            position += 4 + max(0, length)
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > MAX_UNPACKED_BYTES:
        raise TooLargeToUnpack
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _into_growing_buffer(unpack_into: Callable[[bytes, bytearray], int], packed: bytes) -> bytes:
    size = min(MAX_UNPACKED_BYTES, max(_FIRST_BUFFER, _GROWTH * len(packed)))
    while True:
        buffer = bytearray(size)
        try:
            return bytes(buffer[: unpack_into(packed, buffer)])
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
            if size == MAX_UNPACKED_BYTES:
                raise TooLargeToUnpack from None
            size = min(MAX_UNPACKED_BYTES, _GROWTH * size)


def install() -> None:
    """Put these in the place of aiokafka's, in its compiled and in its Python readers. Harmless when called again."""
    ours = {
        "gzip_decode": unpack_gzip,
        "snappy_decode": unpack_snappy,
        "lz4_decode": unpack_lz4,
        "zstd_decode": unpack_zstd,
    }
    for module in _readers():
        for name, unpack in ours.items():
            if hasattr(module, name):
                setattr(module, name, unpack)


def _readers() -> list[Any]:
    """The modules that unpack. A build of aiokafka without extensions has no compiled ones."""
    names = ("aiokafka.record._crecords.default_records", "aiokafka.record._crecords.legacy_records")
    compiled = [import_module(name) for name in names if find_spec(name) is not None]
    return [default_records, legacy_records, *compiled]
