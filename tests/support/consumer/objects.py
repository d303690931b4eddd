"""The stand's S3 for tests: how to reach it and how to fill it."""

from __future__ import annotations

from typing import Any

from deploy.local.services.s3 import S3Server
from evaluation_cancel.consumer.s3.connect import S3Access


def access(server: S3Server) -> S3Access:
    return S3Access(
        endpoint_url=server.endpoint_url,
        region=server.region,
        access_key=server.access_key,
        secret_key=server.secret_key,
        path_style=True,
        tries=1,
    )


async def put(client: Any, bucket: str, *keys: str) -> None:
    """Objects of seven bytes."""
    for key in keys:
        await client.put_object(Bucket=bucket, Key=key, Body=b"x" * 7)
