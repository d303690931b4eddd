"""Access to the environment's S3, and objects in it."""

from __future__ import annotations

from typing import Any

from deploy.local.services.s3 import S3Server
from evaluation_cancel.consumer.s3.connect import S3Access


def access(server: S3Server) -> S3Access:
    """How the service reaches the environment's S3."""
    return S3Access(
        endpoint_url=server.endpoint_url,
        region=server.region,
        access_key=server.access_key,
        secret_key=server.secret_key,
        path_style=True,
        tries=1,
    )


async def put(client: Any, bucket: str, *keys: str) -> None:
    """Create objects of seven bytes each."""
    for key in keys:
        await client.put_object(Bucket=bucket, Key=key, Body=b"x" * 7)
