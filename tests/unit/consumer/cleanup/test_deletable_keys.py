"""The key rule: nothing outside the evaluation's own folder, never the request file, nothing odd."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.cleanup.deletable_keys import DeletablePrefix, deletable_prefix

EVALUATION = UUID("0197c0de-0000-7000-8000-000000000001")
PREFIX = f"evals/{EVALUATION}/"
REQUEST = f"{PREFIX}request.json"

segments = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."}
)


def land(prefix: str | None = PREFIX, request_key: str | None = REQUEST, bucket: str | None = "b") -> DeletablePrefix:
    found = deletable_prefix(EVALUATION, bucket=bucket, prefix=prefix, request_key=request_key)
    assert isinstance(found, DeletablePrefix), found
    return found


def test_an_object_in_the_folder_may_go() -> None:
    assert land().why_kept(f"{PREFIX}results/output.json") is None


@pytest.mark.parametrize("request_key", [None, ""])
def test_without_a_known_request_file_nothing_may_be_deleted(request_key: str | None) -> None:
    assert deletable_prefix(EVALUATION, bucket="b", prefix=PREFIX, request_key=request_key) == "no_request_key"


@pytest.mark.parametrize(("bucket", "prefix"), [(None, PREFIX), ("", PREFIX), ("b", None), ("b", "")])
def test_without_a_bucket_or_prefix_nothing_may_be_deleted(bucket: str | None, prefix: str | None) -> None:
    assert deletable_prefix(EVALUATION, bucket=bucket, prefix=prefix, request_key=REQUEST) == "no_artifacts_location"


@pytest.mark.parametrize(
    "prefix",
    [
        "/",
        "evals/",
        f"evals/{EVALUATION}",
        f"evals/{EVALUATION}/x/",
        f"evals/x{EVALUATION}/",
        f"evals/{EVALUATION}x/",
        f"evals/{str(EVALUATION).upper()}/",
        f"evals/{EVALUATION.hex}/",
        f"evals/{UUID(int=1)}/",
        f"evals/../{EVALUATION}/",
        f"./{EVALUATION}/",
        f"/evals/{EVALUATION}/",
        f"evals//{EVALUATION}/",
        f"evals\\..\\{EVALUATION}/",
        f"evals/..\\x/{EVALUATION}/",
        f"evals\0/{EVALUATION}/",
        f"\ud800/{EVALUATION}/",
        f"{'x' * 1024}/{EVALUATION}/",
    ],
)
def test_a_prefix_that_is_not_the_evaluations_own_folder_is_unsafe(prefix: str) -> None:
    assert deletable_prefix(EVALUATION, bucket="b", prefix=prefix, request_key=REQUEST) == "unsafe_prefix"


@given(st.uuids(), st.lists(segments, max_size=3))
def test_no_prefix_of_another_evaluation_is_ever_safe(other: UUID, root: list[str]) -> None:
    prefix = "/".join([*root, str(other), ""])
    found = deletable_prefix(EVALUATION, bucket="b", prefix=prefix, request_key=REQUEST)
    assert found == "unsafe_prefix" or other == EVALUATION


@given(st.text(max_size=80))
def test_no_key_outside_the_folder_may_ever_go(key: str) -> None:
    assert land().why_kept(key) == "outside_prefix" or key.startswith(PREFIX)


@given(st.lists(segments, min_size=1, max_size=4))
def test_a_neighbour_whose_name_begins_alike_is_outside(rest: list[str]) -> None:
    neighbour = "/".join([f"evals/{EVALUATION}0", *rest])
    assert land().why_kept(neighbour) == "outside_prefix"


@given(st.lists(segments, min_size=1, max_size=4))
def test_plain_keys_in_the_folder_may_go_whatever_they_are_named(rest: list[str]) -> None:
    key = PREFIX + "/".join(rest)
    assert land().why_kept(key) is None or rest == ["request.json"]


@given(st.lists(st.sampled_from(["..", ".", "a", "a\\..", "..\\b"]), min_size=1, max_size=5))
def test_a_key_with_dot_segments_is_kept(rest: list[str]) -> None:
    why = land().why_kept(PREFIX + "/".join(rest))
    assert (why == "unsafe_key") == any(part != "a" for part in rest)


@pytest.mark.parametrize(
    "written",
    [
        REQUEST,
        f"/{REQUEST}",
        f"s3://b/{REQUEST}",
        "request.json",
        "/request.json",
    ],
)
def test_the_request_file_is_kept_in_every_notation_of_its_key(written: str) -> None:
    assert land(request_key=written).why_kept(REQUEST) == "request_file"


@given(st.lists(segments, min_size=1, max_size=3))
def test_the_request_file_is_kept_wherever_it_lies(rest: list[str]) -> None:
    request = PREFIX + "/".join(rest)
    assert land(request_key=request).why_kept(request) == "request_file"


def test_the_request_file_is_the_same_in_either_form_of_unicode() -> None:
    assert land(request_key=f"{PREFIX}demandé.json").why_kept(f"{PREFIX}demande\u0301.json") == "request_file"


def test_a_root_is_not_needed() -> None:
    assert land(prefix=f"{EVALUATION}/").why_kept(f"{EVALUATION}/x") is None
