"""Fixtures of the consumer's tests: clusters, the shared one or a simulated one with faults, and S3."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aioboto3
import pytest

from deploy.local.kubernetes.admin import with_rights
from deploy.local.kubernetes_simulated import Simulator
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from evaluation_cancel.consumer.s3 import connect as s3_connection
from evaluation_cancel.consumer.s3.artifacts import S3Artifacts
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.consumer.objects import access
from tests.support.kubernetes.raw import Raw, session_of


@pytest.fixture
async def cluster_env(environment: Stack, namespace: str) -> AsyncIterator[ClusterEnv]:
    """A namespace of the environment's cluster, simulated or real."""
    jobs = await connect(ClusterAccess(kubeconfig=environment.cluster.kubeconfig, disable_strict_ssl_verification=True))
    async with session_of(environment.cluster) as session:
        yield ClusterEnv(raw=Raw(session, namespace), jobs=jobs)
    await jobs.close()


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(tmp_path) as simulator:
        yield simulator


@pytest.fixture
async def faulty(simulator: Simulator, tmp_path: Path) -> AsyncIterator[ClusterEnv]:
    """A simulated cluster of the test's own, whose faults do not affect other tests.

    The service has only the rights that it needs. Afterwards the fixture checks that each DELETE named the uid of a
    Job and included its pods.
    """
    seen = await with_rights(simulator.cluster, tmp_path, "consumer")
    jobs = await connect(ClusterAccess(kubeconfig=seen.kubeconfig, call_timeout=1.0, connect_timeout=1.0))
    async with session_of(simulator.cluster) as session:
        yield ClusterEnv(raw=Raw(session, "default"), jobs=jobs, simulator=simulator)
    await jobs.close()
    for request in simulator.requests:
        if request.user.endswith(":consumer") and request.verb not in {"get", "list", "watch"}:
            assert (request.verb, request.resource) == ("delete", "jobs")
            assert request.body["propagationPolicy"] == "Foreground"
            assert request.body["preconditions"]["uid"]
            assert "propagationPolicy" not in request.query


@pytest.fixture(scope="package")
async def s3_client(environment: Stack) -> AsyncIterator[Any]:
    """A plain client, to prepare and to check. Opening one is slow, so all tests share it."""
    s3 = environment.s3
    session = aioboto3.Session(s3.access_key, s3.secret_key, region_name=s3.region)
    async with session.client("s3", endpoint_url=s3.endpoint_url) as client:
        yield client


@pytest.fixture(scope="package")
async def artifacts(environment: Stack) -> AsyncIterator[S3Artifacts]:
    async with s3_connection.connect(access(environment.s3)) as artifacts:
        yield artifacts


@pytest.fixture
async def s3_bucket(s3_client: Any) -> str:
    """The name of a fresh bucket."""
    name = f"test-{uuid4().hex}"
    await s3_client.create_bucket(Bucket=name)
    return name
