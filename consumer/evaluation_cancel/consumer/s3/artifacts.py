"""Implements `port.py` on S3: lists page by page, deletes in batches, and reports each key that was not deleted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as S3ConnectionError

from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.s3.content_md5 import is_demand, send_content_md5
from evaluation_cancel.consumer.s3.port import MOST_KEYS, StoredObject, Undeleted, Upload

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import DeleteObjectsOutputTypeDef

_FINAL = frozenset(
    {"access_denied", "all_access_disabled", "no_such_bucket", "invalid_bucket_name", "method_not_allowed"}
)
_FINAL_FOR_A_KEY = _FINAL | {"invalid_request", "invalid_argument", "key_too_long_error", "object_locked"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class S3Artifacts:
    """The objects of one store. Implements `Artifacts`, where the methods are documented."""

    def __init__(self, client: S3Client, *, page: int = MOST_KEYS) -> None:
        """`page` is the number of entries in one page of a list."""
        self._client = client
        self._page = page

    async def objects(self, bucket: str, prefix: str) -> AsyncIterator[list[StoredObject]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": self._page}
        )
        with translated():
            async for page in pages:
                yield [StoredObject(key=entry["Key"], size=entry["Size"]) for entry in page.get("Contents", ())]

    async def delete(self, bucket: str, keys: Sequence[str]) -> list[Undeleted]:
        if len(keys) > MOST_KEYS:
            raise ValueError(f"{len(keys)} keys in one delete; at most {MOST_KEYS} are allowed")
        # XML cannot hold some characters. One such key would make the store refuse the request for all keys.
        odd = [key for key in keys if _NOT_XML.search(key)]
        undeleted = [failure for key in odd if (failure := await self._delete_one(bucket, key)) is not None]
        plain = [key for key in keys if key not in set(odd)] if odd else list(keys)
        if plain:
            undeleted += await self._delete_many(bucket, plain)
        return undeleted

    async def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Upload]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": self._page}
        )
        with translated():
            async for page in pages:
                yield [Upload(key=entry["Key"], upload_id=entry["UploadId"]) for entry in page.get("Uploads", ())]

    async def abort(self, bucket: str, upload: Upload) -> None:
        try:
            with translated():
                await self._client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)
        except TemporaryError as error:
            if error.code != "no_such_upload":
                raise

    async def old_versions(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": self._page}
        )
        with translated():
            async for page in pages:
                yield [entry["Key"] for entry in page.get("Versions", ()) if not entry["IsLatest"]]

    async def _delete_many(self, bucket: str, keys: Sequence[str]) -> list[Undeleted]:
        try:
            answer = await self._delete_objects(bucket, keys)
        except TemporaryError as error:
            if not is_demand(error.code, error.detail):
                raise
            send_content_md5(self._client)
            answer = await self._delete_objects(bucket, keys)
        errors = answer.get("Errors", ())
        return [_undeleted(entry.get("Key", ""), entry.get("Code", "unknown")) for entry in errors]

    async def _delete_objects(self, bucket: str, keys: Sequence[str]) -> DeleteObjectsOutputTypeDef:
        with translated():
            return await self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )

    async def _delete_one(self, bucket: str, key: str) -> Undeleted | None:
        try:
            with translated():
                await self._client.delete_object(Bucket=bucket, Key=key)
        except Refusal as refusal:
            return _undeleted(key, refusal.code)
        return None


def _undeleted(key: str, code: str) -> Undeleted:
    code = snake_case(code)
    return Undeleted(key=key, code=code, final=code in _FINAL_FOR_A_KEY)


def snake_case(code: str) -> str:
    """Spell `AccessDenied` as `access_denied`, like all codes in events and logs."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code).lower()
    return (re.sub("[^a-z0-9_]", "_", words).lstrip("0123456789_") or "unknown")[:64]


@contextmanager
def translated() -> Iterator[None]:
    """Raise `TemporaryError` or `Refusal` for the client's errors. The code is the store's own, in snake case."""
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = snake_case(details.get("Code") or f"Status{status}")
        if code in _FINAL:
            raise Refusal(code, str(error)) from error
        raise TemporaryError(code, str(error)) from error
    except NoCredentialsError as error:
        raise TemporaryError("no_credentials", str(error)) from error
    except (S3ConnectionError, HTTPClientError) as error:
        raise TemporaryError("unreachable", str(error)) from error
    except BotoCoreError as error:
        raise TemporaryError("client_error", str(error)) from error
