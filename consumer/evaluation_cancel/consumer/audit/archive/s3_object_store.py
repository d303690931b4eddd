"""Implements the archive's port `object_store.py` on S3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
from botocore.exceptions import ClientError

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.s3.artifacts import translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_EXISTS = frozenset({"PreconditionFailed", "412"})
_BUSY = frozenset({"ConditionalRequestConflict", "409"})
_MISSING = frozenset({"NoSuchKey", "404"})


class S3ObjectStore:
    """The objects of one bucket below one prefix."""

    def __init__(self, client: S3Client, *, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        try:
            with translated():
                answer = await self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                async with answer["Body"] as body:
                    return await body.read()
        except TemporaryError as error:
            if _code(error) in _MISSING:
                return None
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The connection broke within the body; the client raises the error of its HTTP library then.
            raise TemporaryError("unreachable", str(error) or type(error).__name__) from error

    async def create(self, key: str, body: bytes) -> bool:
        try:
            with translated():
                await self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body, IfNoneMatch="*")
        except TemporaryError as error:
            if _code(error) in _EXISTS:
                return False
            if _code(error) in _BUSY:
                raise TemporaryError("object_store_busy", "another writer is at this key", 0.2) from error
            raise
        return True

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        paginator = self._client.get_paginator("list_objects_v2")
        below = self._prefix + prefix
        if after:
            pages = paginator.paginate(Bucket=self._bucket, Prefix=below, StartAfter=self._prefix + after)
        else:
            pages = paginator.paginate(Bucket=self._bucket, Prefix=below)
        with translated():
            async for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self._prefix)

    async def any_key(self, prefix: str, after: str) -> bool:
        with translated():
            answer = await self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._prefix + prefix, StartAfter=self._prefix + after, MaxKeys=1
            )
        return bool(answer.get("Contents"))


def _code(error: TemporaryError) -> str:
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code")) if isinstance(cause, ClientError) else ""
