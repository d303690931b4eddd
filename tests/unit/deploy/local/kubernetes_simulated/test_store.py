"""The store's history: every past state can be shown again, and changes lead from any of them to the present."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.kubernetes_simulated.objects.resources import JOBS, PODS, Object, Resource
from deploy.local.kubernetes_simulated.objects.store import Change, Store, key_of

NAMES = st.sampled_from("abc")
SPACES = st.sampled_from(["x", "y"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "remove"]), SPACES, NAMES, st.integers(0, 3)), max_size=30)


def put(store: Store, namespace: str, name: str, value: int, resource: Resource = JOBS) -> None:
    present = store.get(resource, namespace, name)
    metadata: Object = {"namespace": namespace, "name": name, "uid": f"{resource.plural}-{namespace}-{name}"}
    if present is None:
        store.add(resource, {"metadata": metadata, "value": value})
    else:
        store.replace(resource, {**present, "value": value})


def play(store: Store, steps: list[tuple[str, str, str, int]]) -> dict[int, list[Object]]:
    """The state of all Jobs at every version on the way."""
    states = {store.version: store.items(JOBS)}
    for verb, namespace, name, value in steps:
        present = store.get(JOBS, namespace, name)
        if verb == "put":
            put(store, namespace, name, value)
        elif present is not None:
            store.remove(JOBS, present)
        states[store.version] = store.items(JOBS)
    return states


@given(STEPS)
def test_a_snapshot_shows_the_state_that_was(steps: list[tuple[str, str, str, int]]) -> None:
    store = Store()
    for version, state in play(store, steps).items():
        assert store.snapshot(JOBS, "", version) == state
        assert store.snapshot(JOBS, "x", version) == [obj for obj in state if key_of(obj)[0] == "x"]


@given(STEPS)
def test_the_changes_after_a_state_lead_to_the_present(steps: list[tuple[str, str, str, int]]) -> None:
    store = Store()
    for version, state in play(store, steps).items():
        objects = {key_of(obj): obj for obj in state}
        for change in store.changes_of(JOBS, version):
            assert change.version > version
            if change.kind == "DELETED":
                del objects[key_of(change.object)]
            else:
                objects[key_of(change.object)] = change.object
        assert [objects[key] for key in sorted(objects)] == store.items(JOBS)


@given(STEPS)
def test_versions_only_grow_and_each_belongs_to_one_change(steps: list[tuple[str, str, str, int]]) -> None:
    store = Store()
    seen: list[Change] = []
    store.subscribe(seen.append)
    play(store, steps)
    versions = [change.version for change in seen]
    assert versions == sorted(set(versions))
    assert all(change.object["metadata"]["resourceVersion"] == str(change.version) for change in seen)


def test_a_state_that_is_stored_unchanged_is_no_change() -> None:
    store = Store()
    put(store, "x", "a", 1)
    before = store.version
    put(store, "x", "a", 1)
    assert store.version == before


def test_only_as_much_history_is_kept_as_was_asked_for() -> None:
    store = Store(history=3)
    for value in range(10):
        put(store, "x", "a", value)
    assert store.remembers(store.version - 3)
    assert not store.remembers(store.version - 4)
    store.compact()
    assert store.remembers(store.version)
    assert not store.remembers(store.version - 1)


def test_dependents_follow_their_owner_references() -> None:
    store = Store()
    metadata: dict[str, Any] = {"namespace": "x", "name": "pod", "uid": "pod", "ownerReferences": [{"uid": "job"}]}
    pod = store.add(PODS, {"metadata": metadata})
    assert store.dependents("job") == [(PODS, pod)]
    freed = {name: value for name, value in pod["metadata"].items() if name != "ownerReferences"}
    pod = store.replace(PODS, {**pod, "metadata": freed})
    assert store.dependents("job") == []
    owned = store.replace(PODS, {**pod, "metadata": {**freed, "ownerReferences": [{"uid": "other"}]}})
    assert store.dependents("other") == [(PODS, owned)]
    store.remove(PODS, owned)
    assert store.dependents("other") == []
    assert store.by_uid("pod") is None


def test_nobody_is_told_after_unsubscribing() -> None:
    store = Store()
    queue: asyncio.Queue[Change] = asyncio.Queue()
    unsubscribe = store.subscribe(queue.put_nowait)
    put(store, "x", "a", 1)
    unsubscribe()
    put(store, "x", "a", 2)
    assert queue.qsize() == 1


@pytest.mark.parametrize(("namespace", "names"), [("", ["a", "b", "c"]), ("x", ["a", "c"]), ("z", [])])
def test_items_come_by_namespace_and_name(namespace: str, names: list[str]) -> None:
    store = Store()
    for space, name in (("y", "b"), ("x", "c"), ("x", "a")):
        put(store, space, name, 0)
    assert sorted(obj["metadata"]["name"] for obj in store.items(JOBS, namespace)) == names
    assert [key_of(obj) for obj in store.items(JOBS, namespace)] == sorted(map(key_of, store.items(JOBS, namespace)))
