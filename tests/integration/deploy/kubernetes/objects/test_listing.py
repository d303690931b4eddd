"""Lists: what selectors match, pages of one snapshot, versions asked for."""

import base64
import json
from typing import Any

import pytest

from tests.support.kubernetes.raw import Answer, Raw
from tests.support.kubernetes.under_test import UnderTest

COLOURS = {"a": {"colour": "red"}, "b": {"colour": "blue"}, "c": {"colour": "red", "size": "big"}, "d": {"x": "y"}}


async def _coloured(api: Raw) -> None:
    for name, labels in COLOURS.items():
        await api.create_job(name, suspend=True, labels=labels)


async def test_a_list_names_its_kind_and_version_and_its_items_do_not(api: Raw) -> None:
    await api.create_job("one", suspend=True)
    answer = await api.get(api.jobs)
    assert answer.code == 200
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("JobList", "batch/v1")
    assert int(answer.version) > 0
    (item,) = answer.body["items"]
    assert "kind" not in item
    assert "apiVersion" not in item
    assert item["metadata"]["namespace"] == api.namespace


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("colour=red", ["a", "c"]),
        ("colour==red,size=big", ["c"]),
        ("colour!=red", ["b", "d"]),
        ("colour in (red, blue)", ["a", "b", "c"]),
        ("colour notin (red)", ["b", "d"]),
        ("colour", ["a", "b", "c"]),
        ("!colour", ["d"]),
        ("colour in (red),!size", ["a"]),
        ("colour=", []),
    ],
)
async def test_label_selectors(api: Raw, selector: str, names: list[str]) -> None:
    await _coloured(api)
    assert (await api.get(api.jobs, labelSelector=selector)).names == names


async def test_field_selectors(api: Raw) -> None:
    await _coloured(api)
    assert (await api.get(api.jobs, fieldSelector="metadata.name=b")).names == ["b"]
    assert (await api.get(api.jobs, fieldSelector="metadata.name!=b")).names == ["a", "c", "d"]
    created = await api.running_job("runs")
    assert len((await api.get(api.pods, fieldSelector="status.phase=Running")).names) == 1
    assert (await api.get(api.pods, fieldSelector="status.phase=Failed")).names == []
    assert await api.count_pods(created.uid) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"labelSelector": "a in b"}, "unable to parse requirement"),
        ({"fieldSelector": "spec.suspend=true"}, 'field label "spec.suspend" not supported for Job'),
        ({"limit": "x"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"continue": "nonsense"}, "invalid continue token"),
        ({"resourceVersion": "x"}, 'invalid resource version: resourceVersion: Invalid value: "x"'),
    ],
)
async def test_a_query_that_is_not_understood_is_400(api: Raw, query: dict[str, str], message: str) -> None:
    answer = await api.get(api.jobs, **query)
    assert answer.code == 400
    assert answer.body["reason"] == "BadRequest"
    assert answer.body["message"].startswith(message)


async def test_pages_go_on_where_the_last_ended_and_count_what_is_left(api: Raw) -> None:
    await _coloured(api)
    first = await api.get(api.jobs, limit="3")
    assert first.names == ["a", "b", "c"]
    assert first.body["metadata"]["remainingItemCount"] == 1
    second = await _page(api, first.body["metadata"]["continue"], limit="3")
    assert second.names == ["d"]
    assert "continue" not in second.body["metadata"]
    assert second.version == first.version


async def test_a_later_page_shows_the_time_of_the_first(api: Raw) -> None:
    await _coloured(api)
    first = await api.get(api.jobs, limit="2")
    await api.delete_job("c", {"propagationPolicy": "Background"})
    await api.create_job("e", suspend=True)
    second = await _page(api, first.body["metadata"]["continue"])
    assert second.names == ["c", "d"]
    assert (await api.get(api.jobs)).names == ["a", "b", "d", "e"]


async def test_pages_of_a_selection_do_not_tell_how_many_are_left(api: Raw) -> None:
    await _coloured(api)
    first = await api.get(api.jobs, limit="1", labelSelector="colour=red")
    assert first.names == ["a"]
    assert "remainingItemCount" not in first.body["metadata"]
    second = await _page(api, first.body["metadata"]["continue"], labelSelector="colour=red")
    assert second.names == ["c"]


async def test_an_expired_continue_is_410_with_a_token_to_go_on_anyway(api: Raw, under_test: UnderTest) -> None:
    await _coloured(api)
    first = await api.get(api.jobs, limit="2")
    await api.create_job("e", suspend=True)
    await under_test.compact()
    answer = await _page(api, _aged(first.body["metadata"]["continue"]))
    assert answer.code == 410
    assert answer.body["reason"] == "Expired"
    assert answer.body["message"].startswith("The provided continue parameter is too old")
    rest = await _page(api, answer.body["metadata"]["continue"])
    assert rest.code == 200
    assert rest.names == ["c", "d", "e"]


def _aged(token: str) -> str:
    """The same place in a past that no server remembers."""
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    content["rv"] = 1
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


async def _page(api: Raw, token: str, **params: str) -> Answer:
    return await api.get(api.jobs, **{"continue": token}, **params)


async def test_a_continue_and_a_version_exclude_each_other(api: Raw) -> None:
    await _coloured(api)
    first = await api.get(api.jobs, limit="2")
    answer = await _page(api, first.body["metadata"]["continue"], resourceVersion=first.version)
    assert answer.code == 400
    assert answer.body["message"] == "specifying resource version is not allowed when using continue"


async def test_a_match_without_a_version_is_422(api: Raw) -> None:
    answer = await api.get(api.jobs, resourceVersionMatch="Exact")
    assert answer.code == 422
    assert answer.body["details"]["kind"] == "ListOptions"


async def test_an_exact_version_shows_the_past(api: Raw) -> None:
    await api.create_job("a", suspend=True)
    version = (await api.get(api.jobs)).version
    await api.create_job("b", suspend=True)
    past = await api.get(api.jobs, resourceVersion=version, resourceVersionMatch="Exact")
    assert past.names == ["a"]
    newer = await api.get(api.jobs, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert newer.names == ["a", "b"]


async def test_a_version_of_the_future_is_504_and_says_when_to_retry(api: Raw) -> None:
    answer = await api.get(api.jobs, resourceVersion="999999999")
    assert answer.code == 504
    assert answer.body["reason"] == "Timeout"
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["Retry-After"] == "1"


async def test_a_list_right_after_a_change_shows_it(api: Raw) -> None:
    for number in range(20):
        created = await api.create_job(f"job-{number}", suspend=True)
        assert f"job-{number}" in (await api.get(api.jobs)).names
        await api.delete_job(
            f"job-{number}", {"propagationPolicy": "Background", "preconditions": {"uid": created.uid}}
        )
        assert f"job-{number}" not in (await api.get(api.jobs)).names


async def test_all_namespaces_are_listed_together(api: Raw) -> None:
    await api.create_job("somewhere", suspend=True, labels={"where": api.namespace})
    answer = await api.get("/apis/batch/v1/jobs", labelSelector=f"where={api.namespace}")
    assert answer.names == ["somewhere"]


async def test_a_list_from_version_zero_is_answered_from_the_cache(api: Raw) -> None:
    """The cache may be of any age, so only the simulator's own test can tell what it holds."""
    await api.create_job("a", suspend=True)
    await api.until(lambda: _names_in_the_cache(api), ["a"])


async def _names_in_the_cache(api: Raw) -> list[str]:
    answer = await api.get(api.jobs, resourceVersion="0")
    assert answer.code == 200
    return answer.names
