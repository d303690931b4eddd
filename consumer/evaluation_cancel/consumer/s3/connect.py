"""Opens an S3 client, with timeouts and with the options that some S3-compatible stores need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluation_cancel.consumer.s3.artifacts import S3Artifacts
from evaluation_cancel.consumer.s3.content_md5 import send_content_md5

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Access:
    """Address, credentials and options of the store. None: as boto finds the value (environment, profile, role)."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    path_style: bool = False
    """Put the bucket into the path instead of the host name."""
    content_md5: bool = False
    """Send Content-MD5 with each delete. Some stores demand it, and botocore no longer sends it."""
    connect_timeout: float = 3.0
    """Seconds."""
    read_timeout: float = 10.0
    """Seconds without data."""
    tries: int = 2
    """Tries of the client within one call. The cleanup retries through Postgres."""
    connections: int = 32


@asynccontextmanager
async def connect(access: S3Access) -> AsyncIterator[S3Artifacts]:
    """Open the store until the context ends. Sends nothing."""
    async with open_client(access) as client:
        yield S3Artifacts(client)


@asynccontextmanager
async def open_client(access: S3Access) -> AsyncIterator[S3Client]:
    """Open the client itself, for requests that `Artifacts` does not offer."""
    # Slow to import, and a process without cleanup or archive does not need it.
    import aioboto3  # noqa: PLC0415
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    config = AioConfig(
        connect_timeout=access.connect_timeout,
        read_timeout=access.read_timeout,
        retries={"mode": "standard", "total_max_attempts": access.tries},
        max_pool_connections=access.connections,
        s3={"addressing_style": "path" if access.path_style else "auto"},
    )
    session = aioboto3.Session(
        aws_access_key_id=access.access_key, aws_secret_access_key=access.secret_key, region_name=access.region
    )
    async with session.client("s3", endpoint_url=access.endpoint_url, config=config) as client:
        if access.content_md5:
            send_content_md5(client)
        yield client
