"""Whatever a batch unpacks to, memory stays bounded, and what fits is unpacked as aiokafka would."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
import pytest
from aiokafka import codec
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.schemas.wire.codecs import (
    MAX_UNPACKED_BYTES,
    TooLargeToUnpack,
    unpack_gzip,
    unpack_lz4,
    unpack_snappy,
    unpack_zstd,
)

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": unpack_gzip,
    "snappy": unpack_snappy,
    "lz4": unpack_lz4,
    "zstd": unpack_zstd,
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "snappy": lambda raw: bytes(codec.snappy_encode(raw)),
    "lz4": lambda raw: bytes(cramjam.lz4.compress(raw)),
    "zstd": lambda raw: bytes(cramjam.zstd.compress(raw)),
}


@pytest.mark.parametrize("name", UNPACK)
@given(raw=st.binary(max_size=5000), repeat=st.integers(1, 200))
def test_what_was_packed_is_unpacked(name: str, raw: bytes, repeat: int) -> None:
    assert UNPACK[name](PACK[name](raw * repeat)) == raw * repeat


def test_snappy_without_the_blocks_of_the_java_client_is_unpacked() -> None:
    assert unpack_snappy(bytes(cramjam.snappy.compress_raw(b"x" * 1000))) == b"x" * 1000


def test_gzip_in_several_members_is_unpacked() -> None:
    assert unpack_gzip(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"


@pytest.mark.parametrize("name", UNPACK)
def test_the_limit_itself_still_fits(name: str) -> None:
    assert len(UNPACK[name](PACK[name](bytes(MAX_UNPACKED_BYTES)))) == MAX_UNPACKED_BYTES


@pytest.mark.parametrize("name", UNPACK)
def test_what_would_be_larger_is_refused_without_being_unpacked(name: str) -> None:
    packed = PACK[name](bytes(5 * MAX_UNPACKED_BYTES))
    tracemalloc.start()
    with pytest.raises(TooLargeToUnpack):
        UNPACK[name](packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MAX_UNPACKED_BYTES


@pytest.mark.parametrize("name", UNPACK)
def test_data_that_was_cut_is_refused(name: str) -> None:
    whole = PACK[name](bytes(range(256)) * 100)
    with pytest.raises((EOFError, cramjam.DecompressionError)):
        UNPACK[name](whole[: len(whole) // 2])


@pytest.mark.parametrize("name", UNPACK)
def test_bytes_that_are_no_packed_data_are_refused(name: str) -> None:
    with pytest.raises((zlib.error, cramjam.DecompressionError)):
        UNPACK[name](b"\x01\x02\x03" * 50)
