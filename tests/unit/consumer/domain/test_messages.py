from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.messages import pack_headers, unpack_headers

names = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(names, st.binary())))
def test_headers_come_out_as_they_went_in_whatever_their_bytes(headers: list[tuple[str, bytes]]) -> None:
    assert unpack_headers(pack_headers(headers)) == headers
