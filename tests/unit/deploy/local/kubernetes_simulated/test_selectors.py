"""Selectors against a plain reading of what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.kubernetes_simulated.objects.resources import JOBS, PODS
from deploy.local.kubernetes_simulated.objects.selectors import field_test, label_test, matches_selector
from deploy.local.kubernetes_simulated.objects.status import ApiError

KEYS = st.sampled_from(["a", "b", "example.com/c"])
VALUES = st.sampled_from(["", "1", "2"])
LABELS = st.dictionaries(KEYS, VALUES)


@given(KEYS, VALUES, VALUES, LABELS)
def test_each_operator_means_what_it_says(key: str, one: str, two: str, labels: dict[str, str]) -> None:
    obj = {"metadata": {"labels": labels}}
    value = labels.get(key)
    meanings = {
        f"{key}={one}": value == one,
        f"{key} == {one}": value == one,
        f"{key}!={one}": value != one,
        f"{key} in ({one},{two})": value in (one, two),
        f"{key} notin ({one}, {two})": value not in (one, two),
        key: value is not None,
        f"!{key}": value is None,
    }
    for selector, meant in meanings.items():
        assert label_test(selector)(obj) is meant, selector


@given(st.lists(st.tuples(KEYS, VALUES), max_size=4), LABELS)
def test_requirements_joined_by_commas_must_all_hold(pairs: list[tuple[str, str]], labels: dict[str, str]) -> None:
    selector = ",".join(f"{key}={value}" for key, value in pairs)
    assert label_test(selector)({"metadata": {"labels": labels}}) is all(labels.get(k) == v for k, v in pairs)


@pytest.mark.parametrize("selector", ["a in b", "a=b=c", "=a", "a,,b", "a in (b", "a>>1"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        label_test(selector)
    assert refused.value.code == 400


def test_an_object_without_labels_has_none() -> None:
    assert label_test("!a")({"metadata": {}})
    assert not label_test("a")({"metadata": {"labels": None}})


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("status.phase=Running", True),
        ("status.phase!=Running", False),
        ("status.phase=Running,spec.nodeName=n", True),
        ("spec.nodeName=m", False),
        ("status.podIP=", True),
    ],
)
def test_fields_are_compared_as_text_and_an_absent_one_is_empty(selector: str, matches: bool) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert field_test(selector, PODS)(pod) is matches


def test_a_job_without_a_count_has_no_successes() -> None:
    assert field_test("status.successful=0", JOBS)({"metadata": {}, "status": {}})
    assert field_test("status.successful=2", JOBS)({"metadata": {}, "status": {"succeeded": 2}})


@given(KEYS, st.lists(VALUES), LABELS)
def test_a_selector_object_agrees_with_the_written_one(key: str, values: list[str], labels: dict[str, str]) -> None:
    obj = {"metadata": {"labels": labels}}
    pairs = {
        "Exists": key,
        "DoesNotExist": f"!{key}",
        "In": f"{key} in ({','.join(values)})",
        "NotIn": f"{key} notin ({','.join(values)})",
    }
    for operator, written in pairs.items():
        if values or operator in ("Exists", "DoesNotExist"):
            expression = {"key": key, "operator": operator, "values": values}
            assert matches_selector({"matchExpressions": [expression]}, labels) is label_test(written)(obj)
    assert matches_selector({"matchLabels": labels}, labels)
