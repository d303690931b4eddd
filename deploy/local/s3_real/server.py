"""Builds the real S3 server once, and starts it with its objects in the workspace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kubernetes_real.build import go_binary
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, free_port, is_open
from deploy.local.processes.process import Workspace
from deploy.local.services.s3 import S3Server

_MODULE = Path(__file__).parent / "go"


async def s3_binary() -> Path:
    """The path of the binary, from the cache if it is there."""
    return await go_binary("s3", _MODULE, "Building the real S3 server, once: this takes 2-3 minutes.")


@dataclass(kw_only=True, eq=False, repr=False)
class RealS3(S3Server, Part):
    """A server of our own."""

    binary: Path
    home: Path

    def command(self) -> list[str | Path]:
        address = self.endpoint_url.removeprefix("http://")
        return [self.binary, address, self.home, self.access_key, self.secret_key, self.region]

    async def answers(self) -> bool:
        return await is_open(int(self.endpoint_url.rpartition(":")[2]))


@asynccontextmanager
async def s3_real(work: Workspace) -> AsyncIterator[RealS3]:
    """A started server without buckets, and none at the end."""
    binary, home = await s3_binary(), work.directory / "s3"
    home.mkdir()
    server = RealS3(
        work=work,
        name="s3",
        endpoint_url=f"http://{LOOPBACK}:{free_port()}",
        access_key="stand",
        secret_key="stand-secret",  # noqa: S106  it is on loopback
        region="us-east-1",
        binary=binary,
        home=home,
    )
    try:
        await server.start()
        yield server
    finally:
        if server.child is not None:
            server.kill()
