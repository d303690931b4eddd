"""An HTTP server with a handler of the test, in the place of a store, a proxy or a Kubernetes API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from deploy.local.kubernetes.cluster import write_kubeconfig
from deploy.local.processes.ports import free_port
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Run a server with this handler. Yields its `host:port`."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(tmp_path: Path, handler: Handler) -> AsyncIterator[KubernetesJobs]:
    """Run a server with this handler. Yields the service's Kubernetes client, connected to it."""
    async with serving(handler) as address:
        kubeconfig = write_kubeconfig(tmp_path / "stub", url=f"http://{address}", token="t")
        jobs = await connect(ClusterAccess(kubeconfig=kubeconfig, call_timeout=1.0))
        try:
            yield jobs
        finally:
            await jobs.close()
