"""The same through kubernetes_asyncio, as this service calls it."""

from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import config, watch
from kubernetes_asyncio.client import ApiClient, ApiException, BatchV1Api, CoreV1Api

from deploy.local.kubernetes.cluster import Cluster
from tests.support.kubernetes.raw import CONTROLLER_UID, Raw, foreground, job
from tests.support.kubernetes.under_test import UnderTest


@pytest.fixture(scope="package")
async def client(cluster: Cluster) -> AsyncIterator[ApiClient]:
    async with await config.new_client_from_config(config_file=str(cluster.kubeconfig)) as client:
        yield client


async def test_a_job_lives_and_ends_by_typed_calls(api: Raw, client: ApiClient) -> None:
    batch, core = BatchV1Api(client), CoreV1Api(client)
    created = await batch.create_namespaced_job(api.namespace, job("typed"))
    uid = created.metadata.uid
    await api.until(lambda: api.count_pods(uid, "Running"), 1)
    found = await batch.read_namespaced_job("typed", api.namespace)
    assert found.metadata.uid == uid
    assert found.spec.template.metadata.labels[CONTROLLER_UID] == uid
    pods = await core.list_namespaced_pod(api.namespace, label_selector=f"{CONTROLLER_UID}={uid}")
    assert pods.items[0].status.phase == "Running"
    await batch.delete_namespaced_job("typed", api.namespace, body=foreground(uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/typed"))
    pods = await core.list_namespaced_pod(api.namespace, label_selector=f"{CONTROLLER_UID}={uid}")
    assert pods.items == []


async def test_the_answer_to_a_delete_is_taken_for_a_status_although_it_is_a_job(api: Raw, client: ApiClient) -> None:
    created = await api.running_job("answer", behaviour="stuck")
    answer = await BatchV1Api(client).delete_namespaced_job("answer", api.namespace, body=foreground(created.uid))
    assert answer.kind == "Job"
    assert answer.code is None


async def test_failures_are_exceptions_with_status_and_body(api: Raw, client: ApiClient) -> None:
    batch = BatchV1Api(client)
    await api.create_job("wrong", suspend=True)
    with pytest.raises(ApiException) as absent:
        await batch.read_namespaced_job("absent", api.namespace)
    assert absent.value.status == 404
    wrong = foreground("00000000-0000-4000-8000-000000000000")
    with pytest.raises(ApiException) as conflict:
        await batch.delete_namespaced_job("wrong", api.namespace, body=wrong)
    assert conflict.value.status == 409
    assert "does not match the UID in record" in str(conflict.value.body)


async def test_without_preloading_a_404_is_no_exception(api: Raw, client: ApiClient) -> None:
    response = await BatchV1Api(client).read_namespaced_job("absent", api.namespace, _preload_content=False)
    assert response.status == 404
    response.release()


async def test_the_client_s_watch_follows_a_job(api: Raw, client: ApiClient) -> None:
    batch = BatchV1Api(client)
    listed = await batch.list_namespaced_job(api.namespace)
    created = await api.create_job("watched", suspend=True)
    await api.delete_job("watched", {"propagationPolicy": "Background", "preconditions": {"uid": created.uid}})
    seen = []
    settings = {"resource_version": listed.metadata.resource_version, "timeout_seconds": 60}
    async with watch.Watch().stream(batch.list_namespaced_job, api.namespace, **settings) as events:
        async for event in events:
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                break
    assert seen[0] == ("ADDED", "watched")
    assert seen[-1] == ("DELETED", "watched")


async def test_the_client_s_watch_raises_410(api: Raw, client: ApiClient, under_test: UnderTest) -> None:
    await under_test.forget()
    settings = {"resource_version": "1", "timeout_seconds": 60}
    async with watch.Watch().stream(BatchV1Api(client).list_namespaced_job, api.namespace, **settings) as events:
        with pytest.raises(ApiException) as expired:
            await anext(events)
    assert expired.value.status == 410


async def test_pages_are_followed_by_their_continue(api: Raw, client: ApiClient) -> None:
    batch = BatchV1Api(client)
    for number in range(5):
        await api.create_job(f"job-{number}", suspend=True)
    names, token = [], None
    while token != "":
        page = await batch.list_namespaced_job(api.namespace, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert names == [f"job-{number}" for number in range(5)]
