"""The real API server's programs can each be taken away; what clients then see is what makes cancelling hard.

How Jobs and pods behave in general is shown by tests/integration/kubernetes, on the simulation and on this.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient, ApiException, BatchV1Api, CoreV1Api

from deploy.local.kubernetes.admin import administrator, create_namespace, with_rights
from deploy.local.kubernetes.cluster import NODE
from deploy.local.kubernetes_real.cluster import RealKubernetes, kubernetes_real
from deploy.local.processes.process import workspace
from tests.support.environment import unique
from tests.support.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
async def kubernetes() -> AsyncIterator[RealKubernetes]:
    """One of our own: its parts are killed and paused here."""
    async with workspace() as work, kubernetes_real(work) as started:
        yield started


@pytest.fixture
async def client(kubernetes: RealKubernetes) -> AsyncIterator[ApiClient]:
    async with administrator(kubernetes.cluster) as opened:
        yield opened


@pytest.fixture
async def own(client: ApiClient) -> str:
    """A namespace."""
    name = unique("test")
    await create_namespace(client, name)
    return name


async def create_job(client: ApiClient, namespace: str, **labels: str) -> str:
    """A Job whose one pod is there."""
    name = unique("job")
    container = {"name": "evaluation", "image": "none"}
    pod = {"restartPolicy": "Never", "nodeName": NODE, "containers": [container]}
    template: Any = {"metadata": {"labels": labels}, "spec": pod}
    await BatchV1Api(client).create_namespaced_job(
        namespace, {"metadata": {"name": name}, "spec": {"template": template}}
    )
    await until(lambda: pods(client, namespace, name))
    return name


async def pods(client: ApiClient, namespace: str, job: str) -> list[Any]:
    found = await CoreV1Api(client).list_namespaced_pod(namespace, label_selector=f"job-name={job}")
    return list(found.items)


async def phases(client: ApiClient, namespace: str, job: str) -> list[str]:
    return [pod.status.phase for pod in await pods(client, namespace, job)]


async def delete_job(client: ApiClient, namespace: str, name: str) -> None:
    await BatchV1Api(client).delete_namespaced_job(name, namespace, body={"propagationPolicy": "Foreground"})


async def exists(client: ApiClient, namespace: str, name: str) -> bool:
    try:
        await BatchV1Api(client).read_namespaced_job(name, namespace)
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return True


async def test_a_killed_api_server_comes_back_with_its_objects_and_its_controllers(
    kubernetes: RealKubernetes, client: ApiClient, own: str
) -> None:
    before = await create_job(client, own)
    kubernetes.apiserver.kill()
    assert not await kubernetes.apiserver.answers()
    await kubernetes.apiserver.start()
    assert await exists(client, own, before)
    after = await create_job(client, own)
    await until(lambda: is_running(client, own, after))


async def is_running(client: ApiClient, namespace: str, job: str) -> bool:
    return await phases(client, namespace, job) == ["Running"]


async def test_while_kubelets_are_paused_pods_hang_in_terminating(
    kubernetes: RealKubernetes, client: ApiClient, own: str
) -> None:
    name = await create_job(client, own)
    await until(lambda: is_running(client, own, name))
    kubernetes.kwok.pause()
    try:
        await delete_job(client, own, name)

        async def terminating() -> bool:
            there = await pods(client, own, name)
            assert there, "a pod ended without its kubelet"
            return all(pod.metadata.deletion_timestamp for pod in there)

        # Not whether the Job is still there: a garbage collector that has not yet seen the pod, as after a restart of
        # the API server, lets a Job go before its pods although the deletion is in the foreground.
        await until(terminating)
    finally:
        kubernetes.kwok.resume()

    async def gone() -> bool:
        return not await exists(client, own, name) and not await pods(client, own, name)

    await until(gone)


async def test_while_controllers_are_paused_a_deleted_job_keeps_its_pods_untouched(
    kubernetes: RealKubernetes, client: ApiClient, own: str
) -> None:
    name = await create_job(client, own)
    kubernetes.controllers.pause()
    try:
        await delete_job(client, own, name)
        assert [pod.metadata.deletion_timestamp for pod in await pods(client, own, name)] == [None]
    finally:
        kubernetes.controllers.resume()

    async def gone() -> bool:
        return not await exists(client, own, name)

    await until(gone)


async def test_an_account_of_the_consumer_may_do_what_it_needs_and_no_more(
    kubernetes: RealKubernetes, client: ApiClient, own: str
) -> None:
    name = await create_job(client, own)
    limited = await with_rights(kubernetes.cluster, kubernetes.cluster.kubeconfig.parent, unique("consumer"))
    async with administrator(limited) as theirs:
        assert await pods(theirs, own, name)
        with pytest.raises(ApiException) as refused:
            await CoreV1Api(theirs).list_namespace()
        assert refused.value.status == 403
        await delete_job(theirs, own, name)


async def test_an_account_of_one_namespace_sees_no_other(
    kubernetes: RealKubernetes, client: ApiClient, own: str
) -> None:
    directory = kubernetes.cluster.kubeconfig.parent
    limited = await with_rights(kubernetes.cluster, directory, "narrow", namespace=own, all_namespaces=False)
    async with administrator(limited) as theirs:
        assert (await BatchV1Api(theirs).list_namespaced_job(own)).items == []
        with pytest.raises(ApiException) as refused:
            await BatchV1Api(theirs).list_job_for_all_namespaces()
        assert refused.value.status == 403
