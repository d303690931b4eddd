"""All parts together: what happens when one cannot be had, and parts that are somebody else's."""

import base64
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from kubernetes_asyncio.client import ApiException, BatchV1Api, CoreV1Api

from deploy.local.errors import StandError
from deploy.local.kubernetes.admin import administrator, with_rights
from deploy.local.stand.given import given_cluster
from deploy.local.stand.stack import Stack, stack
from tests.support.environment import unique
from tests.support.waiting import until


async def test_a_part_that_cannot_be_had_ends_the_others_and_is_named() -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(StandError, match="/nowhere/kubeconfig") as error:
        async with stack(kafka="memory", kubernetes="/nowhere/kubeconfig"):
            pass
    assert error.value.code == "bad_kubeconfig"
    await until(lambda: not set(psutil.Process().children(recursive=True)) - before)


async def test_a_broker_and_a_cluster_of_somebody_else_are_used_and_left_alone(environment: Stack) -> None:
    servers, kubeconfig = environment.kafka.bootstrap_servers, environment.cluster.kubeconfig
    async with stack(kafka=servers, kubernetes=str(kubeconfig)) as other:
        assert other.kafka.kind == other.cluster.kind == "given"
        assert other.cluster.url == environment.cluster.url
        assert other.node is None
    async with administrator(environment.cluster) as client:
        await CoreV1Api(client).list_namespace()


async def test_an_account_with_few_rights_can_be_had_on_any_cluster(environment: Stack, namespace: str) -> None:
    limited = await with_rights(
        environment.cluster, environment.work.directory, unique("consumer"), namespace=namespace
    )
    async with administrator(limited) as client:
        assert (await BatchV1Api(client).list_job_for_all_namespaces()).items is not None
        with pytest.raises(ApiException) as refused:
            await CoreV1Api(client).list_namespace()
        assert refused.value.status == 403


def kubeconfig(path: Path, *, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    document = {
        "current-context": "mine",
        "contexts": [
            {"name": "other", "context": {"cluster": "other", "user": "other"}},
            {"name": "mine", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_of_a_kubeconfig_is_used(tmp_path: Path) -> None:
    authority = base64.b64encode(b"certificate").decode()
    file = kubeconfig(
        tmp_path / "kubeconfig",
        cluster={"server": "https://example.test:6443", "certificate-authority-data": authority},
        user={"token": "secret"},
    )
    found = given_cluster(file, tmp_path)
    assert (found.url, found.token, found.kubeconfig) == ("https://example.test:6443", "secret", file)
    assert found.ca_path is not None
    assert found.ca_path.read_bytes() == b"certificate"


def test_a_kubeconfig_without_a_context_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    with pytest.raises(StandError, match="no usable current context"):
        given_cluster(tmp_path / "kubeconfig", tmp_path)
