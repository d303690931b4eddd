"""An S3 API for the stand: moto's server in a process of its own.

It keeps objects in memory (killed, it forgets them), takes any credentials and enforces no policies. It also accepts
more than 1000 keys in one delete, so callers must check that limit themselves.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes.part import Part
from deploy.local.processes.plain_http import succeeds
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import Workspace


@dataclass(kw_only=True, eq=False, repr=False)
class S3Server:
    """A running server."""

    endpoint_url: str
    access_key: str
    secret_key: str
    region: str


@dataclass(kw_only=True, eq=False, repr=False)
class S3(S3Server, Part):
    """A server of our own."""

    def command(self) -> list[str | Path]:
        port = self.endpoint_url.rpartition(":")[2]
        return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", port]

    async def answers(self) -> bool:
        return await succeeds(self.endpoint_url)


@asynccontextmanager
async def s3(work: Workspace) -> AsyncIterator[S3]:
    """A started server without buckets, and none at the end."""
    server = S3(
        work=work,
        name="s3",
        endpoint_url=f"http://{LOOPBACK}:{free_port()}",
        access_key="stand",
        secret_key="stand",  # noqa: S106  any would do
        region="us-east-1",
    )
    await server.start()
    try:
        yield server
    finally:
        server.kill()
