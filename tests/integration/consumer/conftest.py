"""Clusters for the teardown's tests: the stand's, and one of a test's own in which anything may go wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumer.kubernetes_connection import ClusterAccess, connect
from deploy.local.kubernetes_simulated import Simulator
from deploy.local.stack import Stack
from tests.integration.consumer.bed import Bed
from tests.integration.consumer.ledger import Ledger, open_ledger
from tests.integration.kubernetes.conftest import session_of
from tests.integration.kubernetes.raw import Raw


@pytest.fixture
async def bed(stand: Stack, namespace: str) -> AsyncIterator[Bed]:
    """A namespace on the stand's cluster, whichever that is."""
    jobs = await connect(ClusterAccess(kubeconfig=stand.cluster.kubeconfig, disable_strict_ssl_verification=True))
    async with session_of(stand.cluster) as session:
        yield Bed(raw=Raw(session, namespace), jobs=jobs)
    await jobs.close()


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(tmp_path) as simulator:
        yield simulator


@pytest.fixture
async def faulty(simulator: Simulator) -> AsyncIterator[Bed]:
    """A simulated cluster of the test's own, so that no other test feels its faults."""
    access = ClusterAccess(kubeconfig=simulator.cluster.kubeconfig, call_timeout=1.0, connect_timeout=1.0)
    jobs = await connect(access)
    async with session_of(simulator.cluster) as session:
        yield Bed(raw=Raw(session, "default"), jobs=jobs, simulator=simulator)
    await jobs.close()


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """A migrated database of the test's own."""
    async with open_ledger(database) as opened:
        yield opened
