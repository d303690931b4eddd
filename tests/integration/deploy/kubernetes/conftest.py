"""Fixtures of the cluster under test, chosen by TEST_STACK."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_real.cluster import kubernetes_real
from deploy.local.kubernetes_simulated import Simulator
from deploy.local.processes.process import workspace
from tests.support.kubernetes.raw import Raw, session_of
from tests.support.kubernetes.under_test import UnderTest
from tests.support.stacks import chosen_stack

if chosen_stack() != "memory":
    collect_ignore = [
        "apiserver/test_simulator.py",
        "apiserver/test_simulator_races.py",
    ]


@pytest.fixture(scope="package")
async def under_test(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UnderTest]:
    """A cluster of the package's own, for tests that pause or restart its parts."""
    if chosen_stack() == "memory":
        async with Simulator(tmp_path_factory.mktemp("kubernetes")) as simulator:
            yield UnderTest(cluster=simulator.cluster, simulator=simulator)
        return
    async with workspace() as work, kubernetes_real(work) as real:
        yield UnderTest(cluster=real.cluster, real=real)


@pytest.fixture(scope="package")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The package's own cluster, or that of the containers, whose parts cannot be paused."""
    if chosen_stack() == "containers":
        return request.getfixturevalue("environment").cluster
    return request.getfixturevalue("under_test").cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if chosen_stack() != "containers":
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents and "under_test" in item.fixturenames]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="package")
async def session(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session_of(cluster) as session:
        yield session


@pytest.fixture
async def api(session: aiohttp.ClientSession) -> AsyncIterator[Raw]:
    """A client of a fresh namespace."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    raw = Raw(session, name)
    await raw.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield raw
    await raw.call("DELETE", f"/api/v1/namespaces/{name}")
