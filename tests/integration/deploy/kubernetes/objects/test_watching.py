"""Watches: which events, in which order, from which version on."""

import asyncio
from typing import Any

import pytest

from tests.support.kubernetes.raw import CONTROLLER_UID, Raw, foreground
from tests.support.kubernetes.under_test import UnderTest


def _version(event: dict[str, Any]) -> int:
    return int(event["object"]["metadata"]["resourceVersion"])


async def test_a_watch_from_a_list_tells_what_came_after_in_order_of_versions(api: Raw) -> None:
    await api.create_job("before", suspend=True)
    version = (await api.get(api.jobs)).version
    created = await api.create_job("after", suspend=True)
    async with api.watch(api.jobs, resourceVersion=version) as watch:
        added = (await watch.until("ADDED"))[-1]
        assert added["object"]["metadata"]["uid"] == created.uid
        assert (added["object"]["kind"], added["object"]["apiVersion"]) == ("Job", "batch/v1")
        await api.until(lambda: _is_suspended(api, "after"))
        await api.delete_job("after", {"propagationPolicy": "Background"})
        events = [added, *(await watch.until("DELETED"))]
    assert events[0]["type"] == "ADDED"
    assert {event["type"] for event in events[1:-1]} == {"MODIFIED"}
    versions = [_version(event) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


async def _is_suspended(api: Raw, name: str) -> bool:
    return "conditions" in await api.job_status(name)


async def test_a_deleted_event_carries_the_last_state_with_the_version_of_the_deletion(api: Raw) -> None:
    created = await api.create_job("last", suspend=True, labels={"a": "b"})
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version) as watch:
        await api.delete_job("last", {"propagationPolicy": "Background"})
        deleted = (await watch.until("DELETED"))[-1]
    assert deleted["object"]["metadata"]["labels"] == {"a": "b"}
    assert _version(deleted) > int(created.version)


@pytest.mark.parametrize("params", [{}, {"resourceVersion": "0"}])
async def test_a_watch_without_a_version_begins_with_what_is_there(api: Raw, params: dict[str, str]) -> None:
    await api.create_job("there", suspend=True)
    await api.until(lambda: _is_suspended(api, "there"))
    async with api.watch(api.jobs, **params) as watch:
        first = await watch.next()
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "there")


async def test_a_foreground_deletion_is_seen_step_by_step(api: Raw) -> None:
    created = await api.running_job("steps", ends_after="0.3")
    version = (await api.get(api.jobs)).version
    async with (
        api.watch(api.jobs, resourceVersion=version) as jobs,
        api.watch(api.pods, resourceVersion=version, labelSelector=f"{CONTROLLER_UID}={created.uid}") as pods,
    ):
        await api.delete_job("steps", foreground(created.uid))
        of_pod = await pods.until("DELETED")
        of_job = await jobs.until("DELETED")
    assert of_job[0]["object"]["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert {event["type"] for event in of_job[:-1]} == {"MODIFIED"}
    assert any("deletionTimestamp" in event["object"]["metadata"] for event in of_pod[:-1])
    assert _version(of_pod[-1]) < _version(of_job[-1])


async def test_a_selector_turns_a_change_of_labels_into_added_and_deleted(api: Raw) -> None:
    await api.create_job("moves", suspend=True, labels={"team": "x"})
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version, labelSelector="team=y") as watch:
        await _label(api, "moves", "y")
        await watch.until("ADDED")
        await _label(api, "moves", "x")
        last = (await watch.until("DELETED"))[-1]
    assert last["object"]["metadata"]["labels"] == {"team": "y"}


async def _label(api: Raw, name: str, team: str) -> None:
    patch = {"metadata": {"labels": {"team": team}}}
    await api.call("PATCH", f"{api.jobs}/{name}", patch, kind="application/merge-patch+json")


async def test_other_namespaces_are_not_told(api: Raw) -> None:
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version) as watch:
        other = {"metadata": {"name": "elsewhere"}, "spec": (await api.create_job("here", suspend=True)).body["spec"]}
        other["spec"].pop("selector")
        other["spec"]["template"]["metadata"] = {}
        await api.create("/apis/batch/v1/namespaces/default/jobs", other)
        await api.call(
            "DELETE", "/apis/batch/v1/namespaces/default/jobs/elsewhere", {"propagationPolicy": "Background"}
        )
        await api.delete_job("here", {"propagationPolicy": "Background"})
        events = await watch.until("DELETED")
    assert {event["object"]["metadata"]["name"] for event in events} == {"here"}


async def test_one_object_can_be_watched_by_name(api: Raw) -> None:
    await api.create_job("a", suspend=True)
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version, fieldSelector="metadata.name=b") as watch:
        await api.create_job("c", suspend=True)
        await api.create_job("b", suspend=True)
        assert (await watch.next())["object"]["metadata"]["name"] == "b"


async def test_a_version_too_old_is_an_error_event_410_inside_a_200(api: Raw, under_test: UnderTest) -> None:
    await api.create_job("newer", suspend=True)
    await under_test.forget()
    async with api.watch(api.jobs, resourceVersion="1") as watch:
        events = await watch.rest()
    assert len(events) == 1
    assert events[0]["type"] == "ERROR"
    status = events[0]["object"]
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_a_version_that_is_no_number_is_refused(api: Raw) -> None:
    answer = await api.get(api.jobs, watch="true", resourceVersion="x")
    assert answer.code == 500
    assert answer.body["message"].startswith('resourceVersion: Invalid value: "x"')


async def test_a_watch_ends_by_itself_after_its_timeout(api: Raw) -> None:
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version, timeoutSeconds="1") as watch:
        assert await watch.rest() == []


async def test_a_bookmark_comes_before_the_end_and_watching_can_go_on_from_it(api: Raw) -> None:
    version = (await api.get(api.jobs)).version
    await api.create_job("one", suspend=True)
    params = {"resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "5"}
    bookmarks: list[dict[str, Any]] = []
    for _ in range(5):  # the API promises none: a server that is busy at that moment leaves one out
        async with api.watch(api.jobs, **params) as watch:
            events = await watch.rest()
        assert events[0]["type"] == "ADDED"
        bookmarks = [event for event in events if event["type"] == "BOOKMARK"]
        if bookmarks:
            break
    bookmark = bookmarks[0]
    assert bookmark["object"]["kind"] == "Job"
    assert "uid" not in bookmark["object"]["metadata"]
    assert _version(bookmark) >= _version(events[0])
    async with api.watch(api.jobs, resourceVersion=str(_version(bookmark))) as watch:
        await api.create_job("two", suspend=True)
        assert (await watch.next())["object"]["metadata"]["name"] == "two"


async def test_bookmarks_have_to_be_asked_for(api: Raw) -> None:
    version = (await api.get(api.jobs)).version
    async with api.watch(api.jobs, resourceVersion=version, timeoutSeconds="3") as watch:
        assert await watch.rest() == []


async def test_many_watches_see_the_same_events(api: Raw) -> None:
    version = (await api.get(api.jobs)).version

    async def names() -> list[str]:
        async with api.watch(api.jobs, resourceVersion=version) as watch:
            seen: list[str] = []
            while len(seen) < 20:
                event = await watch.next()
                if event["type"] == "ADDED":
                    seen.append(event["object"]["metadata"]["name"])
            return seen

    watching = [asyncio.create_task(names()) for _ in range(5)]
    await asyncio.gather(*(api.create_job(f"job-{number}", suspend=True) for number in range(20)))
    first, *others = await asyncio.gather(*watching)
    assert len(set(first)) == 20
    assert all(other == first for other in others)
