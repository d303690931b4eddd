"""The port to Kubernetes Jobs, on an API server, and on a stub for unusual answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web

from deploy.local.kubernetes.cluster import write_kubeconfig
from deploy.local.kubernetes_simulated import Simulator, Which
from deploy.local.processes.ports import free_port
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError, parse_retry_after
from evaluation_cancel.consumer.kubernetes.client import METADATA_ONLY, WATCH_METADATA_ONLY
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from evaluation_cancel.consumer.kubernetes.jobs import parse_job
from evaluation_cancel.consumer.kubernetes.port import ANY_POD, of_evaluation, pods_of_job
from tests.support.consumer.cluster_env import ClusterEnv, labelled
from tests.support.consumer.stub_server import Handler, answering

# On an API server, simulated or real


async def test_a_job_is_read_with_the_few_facts_that_matter(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    uid = await cluster_env.job(evaluation_id)
    found = await cluster_env.jobs.get(cluster_env.raw.namespace, "job")
    assert found is not None
    assert (found.uid, found.name, found.evaluation_id) == (uid, "job", str(evaluation_id))
    assert (found.finished, found.owned_by, found.suspended, found.manual_selector) == (None, None, False, False)
    assert found.deletion_requested_at is None


async def test_a_missing_job_is_none(cluster_env: ClusterEnv) -> None:
    assert await cluster_env.jobs.get(cluster_env.raw.namespace, "nothing") is None
    assert await cluster_env.jobs.delete(cluster_env.raw.namespace, "nothing", "uid") is False
    assert await cluster_env.jobs.find(cluster_env.raw.namespace, uuid4()) == []


async def test_a_delete_takes_the_pods_with_it_and_can_be_repeated(cluster_env: ClusterEnv) -> None:
    uid = await cluster_env.job(uuid4(), ends_after="1")
    assert await cluster_env.jobs.delete(cluster_env.raw.namespace, "job", uid)
    assert await cluster_env.jobs.delete(cluster_env.raw.namespace, "job", uid)
    going = await cluster_env.jobs.get(cluster_env.raw.namespace, "job")
    assert going is not None
    assert going.deletion_requested_at is not None
    assert "foregroundDeletion" in going.finalizers
    await cluster_env.raw.until(lambda: cluster_env.raw.is_gone(f"{cluster_env.raw.jobs}/job"))
    assert await cluster_env.jobs.pods(cluster_env.raw.namespace, pods_of_job(uid)) == []


async def test_a_delete_with_another_uid_deletes_nothing_and_returns_false(cluster_env: ClusterEnv) -> None:
    uid = await cluster_env.job(uuid4())
    assert await cluster_env.jobs.delete(cluster_env.raw.namespace, "job", str(uuid4())) is False
    assert (await cluster_env.raw.job("job")).uid == uid


async def test_jobs_and_pods_are_found_by_the_label_of_their_evaluation(cluster_env: ClusterEnv) -> None:
    evaluation_id = uuid4()
    uid = await cluster_env.job(evaluation_id, "one", pods=2)
    await cluster_env.job(uuid4(), "other")
    assert [job.uid for job in await cluster_env.jobs.find(cluster_env.raw.namespace, evaluation_id)] == [uid]
    pods = await cluster_env.jobs.pods(cluster_env.raw.namespace, of_evaluation(evaluation_id))
    assert [pod.owner_uid for pod in pods] == [uid, uid]
    assert await cluster_env.jobs.pods(cluster_env.raw.namespace, pods_of_job(uid)) == pods
    assert len(await cluster_env.jobs.pods(cluster_env.raw.namespace, ANY_POD)) == 3


@pytest.mark.real
async def test_lists_and_watches_of_pods_hold_metadata_only(cluster_env: ClusterEnv) -> None:
    await cluster_env.job(uuid4())
    listed = await cluster_env.jobs.calls.call("GET", cluster_env.raw.pods, accept=METADATA_ONLY)
    assert listed.json()["kind"] == "PartialObjectMetadataList"
    assert all("spec" not in item for item in listed.json()["items"])
    query = [("watch", "true"), ("timeoutSeconds", "1")]
    async with await cluster_env.jobs.calls.open(
        "GET", cluster_env.raw.pods, query=query, accept=WATCH_METADATA_ONLY
    ) as response:
        events = [orjson.loads(line) async for line in response.content]
    assert [event["object"]["kind"] for event in events] == ["PartialObjectMetadata"]


async def test_all_pages_of_a_list_are_read(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluation_id = uuid4()
    for number in range(503):
        await faulty.raw.create_job(f"job-{number}", parallelism=0, **labelled(evaluation_id))
    assert len(await faulty.jobs.find("default", evaluation_id)) == 503
    pages = [seen for seen in simulator.requests if seen.verb == "list" and seen.user.endswith(":consumer")]
    assert [("continue" in seen.query) for seen in pages] == [False, True]
    assert all("resourceVersion" not in seen.query for seen in pages)


async def test_a_list_starts_again_when_its_snapshot_expires(faulty: ClusterEnv, simulator: Simulator) -> None:
    evaluation_id = uuid4()
    await faulty.job(evaluation_id)
    simulator.faults.answer(410, Which(verb="list", resource="jobs"), times=2)
    assert len(await faulty.jobs.find("default", evaluation_id)) == 1


async def test_a_conflict_about_anything_but_the_uid_is_a_temporary_error(
    faulty: ClusterEnv, simulator: Simulator
) -> None:
    uid = await faulty.job(uuid4())
    simulator.faults.answer(409, Which(verb="delete"))
    with pytest.raises(TemporaryError) as raised:
        await faulty.jobs.delete("default", "job", uid)
    assert raised.value.code == "conflict"


async def test_an_expired_token_is_read_again(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "renewed"
    write_kubeconfig(path, url=simulator.cluster.url, token="ended")
    jobs = await connect(ClusterAccess(kubeconfig=path))
    write_kubeconfig(path, url=simulator.cluster.url, token=simulator.cluster.token)
    with pytest.raises(TemporaryError) as raised:
        await jobs.get("default", "job")
    assert raised.value.code == "unauthenticated"
    assert await jobs.get("default", "job") is None
    await jobs.close()


# On a stub


def always(response: Callable[[], web.Response]) -> Handler:
    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return response()

    return handle


NOT_KUBERNETES: list[Callable[[], web.Response]] = [
    lambda: web.Response(status=404, text="<html>no such page</html>", content_type="text/html"),
    lambda: web.Response(status=404, text="404 page not found"),
    lambda: web.json_response({"kind": "Status", "reason": "NotFound", "message": "no matches for kind"}, status=404),
    lambda: web.json_response({"kind": "Status", "reason": "NotFound", "details": {"name": "else"}}, status=404),
    lambda: web.json_response(["a list"]),
    lambda: web.Response(text="hello"),
    lambda: web.json_response({}),
    lambda: web.json_response({"kind": "Status", "status": "Success"}),
    lambda: web.Response(status=204),
]


@pytest.mark.parametrize("response", NOT_KUBERNETES)
async def test_an_answer_of_anything_but_an_api_server_does_not_prove_a_job_gone(
    tmp_path: Path, response: Callable[[], web.Response]
) -> None:
    async with answering(tmp_path, always(response)) as jobs:
        with pytest.raises(TemporaryError):
            await jobs.get("default", "job")


@pytest.mark.parametrize("response", [*NOT_KUBERNETES, lambda: web.json_response({"kind": "PodList", "metadata": {}})])
async def test_an_answer_of_anything_but_an_api_server_is_not_an_empty_list(
    tmp_path: Path, response: Callable[[], web.Response]
) -> None:
    async with answering(tmp_path, always(response)) as jobs:
        with pytest.raises(TemporaryError):
            await jobs.pods("default", "a=b")


@pytest.mark.parametrize("verb", ["get", "delete"])
@pytest.mark.parametrize(
    ("status", "code", "unknown"),
    [
        (400, "unexpected_answer", True),
        (401, "unauthenticated", False),
        (422, "unexpected_answer", True),
        (429, "throttled", False),
        (500, "server_error", True),
        (503, "server_error", True),
    ],
)
async def test_the_outcome_of_a_delete_is_unknown_unless_the_answer_excludes_it(
    tmp_path: Path, verb: str, status: int, code: str, unknown: bool
) -> None:
    response = lambda: web.Response(status=status, text="x", headers={"Retry-After": "7"})  # noqa: E731
    async with answering(tmp_path, always(response)) as jobs:
        with pytest.raises(TemporaryError) as raised:
            await (jobs.get("default", "job") if verb == "get" else jobs.delete("default", "job", "uid"))
    assert raised.value.code == code
    assert raised.value.outcome_unknown == (unknown and verb == "delete")
    assert raised.value.retry_after == (None if status == 401 else 7.0)


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": 'cannot delete "jobs"\0'}
    async with answering(tmp_path, always(lambda: web.json_response(status, status=403))) as jobs:
        with pytest.raises(Refusal) as raised:
            await jobs.delete("default", "job", "uid")
    assert raised.value.code == "rbac_denied"
    assert raised.value.detail == '403: cannot delete "jobs"\N{REPLACEMENT CHARACTER}'


async def test_a_server_that_is_not_there_was_certainly_not_asked_to_delete(tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "nobody", url=f"http://127.0.0.1:{free_port()}", token="t")
    jobs = await connect(ClusterAccess(kubeconfig=kubeconfig))
    with pytest.raises(TemporaryError) as raised:
        await jobs.delete("default", "job", "uid")
    assert (raised.value.code, raised.value.outcome_unknown) == ("unreachable", False)
    await jobs.close()


@pytest.mark.parametrize(("namespace", "name"), [("n", ""), ("n", ".."), ("..", "n"), ("n", "a/../b"), ("n", "a?b")])
async def test_a_name_that_would_mean_another_place_is_never_sent(tmp_path: Path, namespace: str, name: str) -> None:
    """DELETE on the path of an empty name deletes all Jobs of the namespace."""
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response(status=500)

    async with answering(tmp_path, handle) as jobs:
        for call in (jobs.get(namespace, name), jobs.delete(namespace, name, "uid")):
            with pytest.raises(TemporaryError) as raised:
                await call
            assert raised.value.code == "invalid_name"
    assert seen == []


# Facts


def owned(**owner: Any) -> dict[str, Any]:
    reference = {"kind": "JobSet", "name": "x", "uid": "u", "controller": True} | owner
    return {"metadata": {"name": "j", "namespace": "n", "uid": "u", "ownerReferences": [reference]}}


@pytest.mark.parametrize(
    ("owner", "owned_by"),
    [
        ({}, "JobSet/x"),
        ({"kind": "Workflow", "name": "w"}, "Workflow/w"),
        ({"kind": "CronJob"}, None),
        ({"controller": False}, None),
    ],
)
def test_only_an_owner_that_would_create_the_job_again_counts(owner: dict[str, Any], owned_by: str | None) -> None:
    assert parse_job(owned(**owner)).owned_by == owned_by


@pytest.mark.parametrize(
    ("condition", "finished"),
    [
        ({"type": "Complete", "status": "True"}, "succeeded"),
        ({"type": "Failed", "status": "True"}, "failed"),
        ({"type": "Failed", "status": "False"}, None),
        ({"type": "FailureTarget", "status": "True"}, None),
        ({"type": "SuccessCriteriaMet", "status": "True"}, None),
        ({"type": "Suspended", "status": "True"}, None),
    ],
)
def test_a_job_has_finished_only_by_its_final_conditions(condition: dict[str, str], finished: str | None) -> None:
    item = {"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "status": {"conditions": [condition]}}
    assert parse_job(item).finished == finished


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-1", 0.0),
        ("999999", 3600.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(2026, 1, 1, 12, tzinfo=UTC)) == seconds
