"""A Kubernetes cluster whose controllers and kubelet a test can pause, simulated or real."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.local.kubernetes.cluster import Cluster
from deploy.local.kubernetes_real.cluster import RealKubernetes
from deploy.local.kubernetes_simulated import Simulator
from deploy.local.processes.plain_http import plain_client


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderTest:
    """A cluster of the package's own, so that other tests do not notice its faults."""

    cluster: Cluster
    simulator: Simulator | None = None
    real: RealKubernetes | None = None

    async def compact(self) -> None:
        """Drop the history of changes from the store."""
        if self.simulator is not None:
            self.simulator.compact()
        if self.real is not None:
            async with plain_client(self.real.etcd.url) as etcd:
                found = await etcd.post("/v3/kv/range", json={"key": "AA=="})
                revision = found.json()["header"]["revision"]
                (await etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True})).raise_for_status()

    async def forget(self) -> None:
        """Drop the history from the watch cache too. The real server has to restart for that."""
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
