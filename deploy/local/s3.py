"""An S3 API for the stand: moto's server in a process of its own.

It keeps objects in memory (killed, it forgets them), takes any credentials and enforces no policies. It also accepts
more than 1000 keys in one delete, so whoever deletes has to check that himself.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from deploy.local.errors import StandError
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.process import Child, Workspace


@dataclass(kw_only=True, slots=True, eq=False)
class S3:
    endpoint_url: str
    access_key: str
    secret_key: str
    region: str
    _work: Workspace | None = None
    _child: Child | None = None

    async def start(self) -> None:
        if self._work is None:
            raise StandError("not_ours", "this S3 server was not started by the stand")
        host, port = LOOPBACK, self.endpoint_url.rpartition(":")[2]
        self._child = self._work.start("s3", [sys.executable, "-m", "moto.server", "-H", host, "-p", port])
        await self._child.ready(self._answers)

    def kill(self) -> None:
        self._running().kill()

    def pause(self) -> None:
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def _running(self) -> Child:
        if self._child is None:
            raise StandError("not_ours", "this S3 server was not started by the stand")
        return self._child

    async def _answers(self) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                return (await client.get(self.endpoint_url)).is_success
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def s3(work: Workspace) -> AsyncIterator[S3]:
    """A started server without buckets, and none at the end."""
    server = S3(
        endpoint_url=f"http://{LOOPBACK}:{free_port()}",
        access_key="stand",
        secret_key="stand",  # noqa: S106  any would do
        region="us-east-1",
        _work=work,
    )
    await server.start()
    try:
        yield server
    finally:
        server.kill()
