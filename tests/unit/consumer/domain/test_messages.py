from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.messages import pack_headers, unpack_headers

names = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(names, st.binary())))
def test_headers_with_any_bytes_are_unpacked_unchanged(headers: list[tuple[str, bytes]]) -> None:
    assert unpack_headers(pack_headers(headers)) == headers
