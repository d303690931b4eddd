"""The three kinds of patch."""

from typing import Any

import pytest

from deploy.local.kubernetes_simulated.objects.status import ApiError
from deploy.local.kubernetes_simulated.objects.updating import patched

MERGE = "application/merge-patch+json"
LIST = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
STORED: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"], "ownerReferences": [{"uid": "1", "name": "one"}]},
    "spec": {"items": [1, 2]},
}


def test_a_merge_patch_replaces_lists_and_removes_what_is_null() -> None:
    patch = {"metadata": {"labels": {"a": None, "b": "2"}, "finalizers": ["z"]}}
    new = patched(STORED, patch, MERGE)["metadata"]
    assert (new["labels"], new["finalizers"]) == ({"b": "2"}, ["z"])


def test_a_strategic_patch_merges_finalizers_and_owners() -> None:
    patch = {"metadata": {"finalizers": ["z"], "ownerReferences": [{"uid": "1", "kind": "Job"}, {"uid": "2"}]}}
    new = patched(STORED, patch, STRATEGIC)["metadata"]
    assert new["finalizers"] == ["x", "y", "z"]
    assert new["ownerReferences"] == [{"uid": "1", "name": "one", "kind": "Job"}, {"uid": "2"}]


def test_a_strategic_patch_can_take_out_of_lists() -> None:
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["x"],
            "ownerReferences": [{"uid": "1", "$patch": "delete"}],
        }
    }
    new = patched(STORED, patch, STRATEGIC)["metadata"]
    assert (new["finalizers"], new["ownerReferences"]) == (["y"], [])


@pytest.mark.parametrize(
    ("operation", "items"),
    [
        ({"op": "add", "path": "/spec/items/0", "value": 0}, [0, 1, 2]),
        ({"op": "add", "path": "/spec/items/-", "value": 3}, [1, 2, 3]),
        ({"op": "remove", "path": "/spec/items/0"}, [2]),
        ({"op": "replace", "path": "/spec/items/1", "value": 9}, [1, 9]),
        ({"op": "test", "path": "/spec/items/1", "value": 2}, [1, 2]),
    ],
)
def test_operations_of_a_json_patch(operation: dict[str, Any], items: list[int]) -> None:
    assert patched(STORED, [operation], LIST)["spec"]["items"] == items


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [{"op": "test", "path": "/spec/items/1", "value": 7}],
        [{"op": "remove", "path": "/spec/none"}],
        [{"op": "invent", "path": "/spec/items/1"}],
        [{"path": "/spec/items/1"}],
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused(operations: Any) -> None:
    with pytest.raises(ApiError) as refused:
        patched(STORED, operations, LIST)
    assert refused.value.code == 400


def test_a_merge_patch_that_is_no_object_is_refused() -> None:
    with pytest.raises(ApiError):
        patched(STORED, [], MERGE)


def test_the_stored_object_is_left_as_it_was() -> None:
    before = repr(STORED)
    patched(STORED, {"metadata": {"labels": {"a": "2"}}}, STRATEGIC)
    patched(STORED, [{"op": "remove", "path": "/metadata/labels/a"}], LIST)
    assert repr(STORED) == before
