"""A link is exactly its text, and only under a known signature."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.archive.link import BrokenLink, Link, decode_link, encode_link
from evaluation_cancel.consumer.audit.archive.offsets import add_range, count, read_ranges, write_ranges
from tests.support.fakes.audit import new_signer, trusting

SIGNER = new_signer()
TRUSTED = trusting(SIGNER)
LINK = Link(
    topic="a.topic",
    partition=3,
    first=10,
    last=19,
    records=7,
    absent=((12, 12), (17, 18)),
    expired=(),
    first_timestamp=-1,
    last_timestamp=1_700_000_000_000,
    data="data/a.topic/2026-11-24/x",
    sha256="ab" * 32,
    previous=None,
)


def test_a_link_comes_back_as_it_was() -> None:
    assert decode_link(encode_link(LINK, SIGNER), TRUSTED) == LINK
    nothing = replace(LINK, records=0, absent=((10, 19),), data=None, sha256=None, previous="cd" * 32)
    nothing = replace(nothing, first_timestamp=None, last_timestamp=None)
    assert decode_link(encode_link(nothing, SIGNER), TRUSTED) == nothing


def test_the_same_link_always_has_the_same_bytes() -> None:
    assert encode_link(LINK, SIGNER) == encode_link(LINK, SIGNER)


@given(st.data())
def test_no_byte_can_be_changed_added_or_taken_away(data: st.DataObject) -> None:
    raw = encode_link(LINK, SIGNER)
    at = data.draw(st.integers(0, len(raw) - 1))
    what = data.draw(st.sampled_from(["change", "add", "cut", "drop"]))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))])
    changed = {
        "change": raw[:at] + byte + raw[at + 1 :],
        "add": raw[:at] + byte + raw[at:],
        "cut": raw[:at],
        "drop": raw[:at] + raw[at + 1 :],
    }[what]
    if changed != raw:
        with pytest.raises(BrokenLink):
            decode_link(changed, TRUSTED)


def test_somebody_elses_signature_does_not_count() -> None:
    with pytest.raises(BrokenLink, match="unknown key"):
        decode_link(encode_link(LINK, new_signer()), TRUSTED)


def test_a_known_keys_name_above_another_keys_signature_does_not_count() -> None:
    thief = new_signer()
    thief.key_id = SIGNER.key_id
    with pytest.raises(BrokenLink, match="does not match"):
        decode_link(encode_link(LINK, thief), TRUSTED)


@pytest.mark.parametrize(
    "change",
    [{"records": 8}, {"last": 20}, {"absent": ()}, {"data": None}, {"sha256": None}, {"last": 9, "records": -3}],
)
def test_a_link_that_does_not_add_up_is_broken_although_it_is_signed(change: dict[str, object]) -> None:
    with pytest.raises(BrokenLink, match=r"account|without records"):
        decode_link(encode_link(replace(LINK, **change), SIGNER), TRUSTED)  # type: ignore[arg-type]


@given(st.sets(st.integers(0, 60)))
def test_ranges_of_offsets_come_back_as_they_were(offsets: set[int]) -> None:
    ranges: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        add_range(ranges, offset, offset)
    assert read_ranges(write_ranges(ranges)) == tuple(ranges)
    assert count(ranges) == len(offsets)
    assert {o for first, last in ranges for o in range(first, last + 1)} == offsets


@pytest.mark.parametrize("text", ["", "1-1", "2-1", "1 2", "3 1", "1-3 2", "01", "1-", "a", "1  3", "-1"])
def test_ranges_in_any_other_form_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"offsets|order"):
        read_ranges(text)
