"""The cluster under test, chosen by TEST_STACK, and what can be done to it from behind."""

import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_real.cluster import RealKubernetes, kubernetes_real
from deploy.local.kubernetes_simulated import Simulator
from deploy.local.processes.plain_http import plain_client
from deploy.local.processes.process import workspace
from tests.support.kubernetes.raw import Raw
from tests.support.stacks import chosen_stack

if chosen_stack() != "memory":
    collect_ignore = [
        "apiserver/test_simulator.py",
        "apiserver/test_simulator_races.py",
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderTest:
    """A cluster of our own, so that no other test feels what is done to it."""

    cluster: Cluster
    simulator: Simulator | None = None
    real: RealKubernetes | None = None

    async def compact(self) -> None:
        """Let it forget its history."""
        if self.simulator is not None:
            self.simulator.compact()
        if self.real is not None:
            async with plain_client(self.real.etcd.url) as etcd:
                found = await etcd.post("/v3/kv/range", json={"key": "AA=="})
                revision = found.json()["header"]["revision"]
                (await etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True})).raise_for_status()

    async def forget(self) -> None:
        """Let it forget its history in the watch cache too, for which the real server has to start anew."""
        await self.compact()
        if self.real is not None:
            self.real.apiserver.kill()
            await self.real.apiserver.start()

    @asynccontextmanager
    async def controllers_paused(self) -> AsyncIterator[None]:
        if self.simulator is not None:
            self.simulator.pause_controllers()
        if self.real is not None:
            self.real.controllers.pause()
        try:
            yield
        finally:
            if self.simulator is not None:
                self.simulator.resume_controllers()
            if self.real is not None:
                self.real.controllers.resume()

    @asynccontextmanager
    async def kubelet_paused(self) -> AsyncIterator[None]:
        if self.simulator is not None:
            self.simulator.kubelet.pause()
        if self.real is not None:
            self.real.kwok.pause()
        try:
            yield
        finally:
            if self.simulator is not None:
                self.simulator.kubelet.resume()
            if self.real is not None:
                self.real.kwok.resume()


@pytest.fixture(scope="package")
async def under_test(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UnderTest]:
    """Asked for by tests that do something to the cluster from behind."""
    if chosen_stack() == "memory":
        async with Simulator(tmp_path_factory.mktemp("kubernetes")) as simulator:
            yield UnderTest(cluster=simulator.cluster, simulator=simulator)
        return
    async with workspace() as work, kubernetes_real(work) as real:
        yield UnderTest(cluster=real.cluster, real=real)


@pytest.fixture(scope="package")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Our own, or that of the containers, to which nothing can be done from behind."""
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


@asynccontextmanager
async def session_of(cluster: Cluster, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client session with the administrator's token or another one."""
    trust = True if cluster.ca_path is None else ssl.create_default_context(cafile=str(cluster.ca_path))
    headers = {"Authorization": f"Bearer {token or cluster.token}"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=64)
    patience = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(cluster.url, headers=headers, connector=connector, timeout=patience) as session:
        yield session


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
