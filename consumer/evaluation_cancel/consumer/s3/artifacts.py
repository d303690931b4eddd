"""The port to an object store, and its implementation on S3.

It lists, deletes by the batch and says what the store said, key by key. Which keys may go is decided in
`cleanup/deletable_keys.py`, in what order and what it amounts to in `cleanup/attempt.py`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as S3ConnectionError

from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.s3.port import MOST_KEYS, StoredObject, Undeleted, Upload

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_FINAL = frozenset(
    {"access_denied", "all_access_disabled", "no_such_bucket", "invalid_bucket_name", "method_not_allowed"}
)
_FINAL_FOR_A_KEY = _FINAL | {"invalid_request", "invalid_argument", "key_too_long_error", "object_locked"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class S3Artifacts:
    """One client, so one connection pool and one set of credentials; lists come in pages of so many."""

    def __init__(self, client: S3Client, *, page: int = MOST_KEYS) -> None:
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
            raise ValueError(f"{len(keys)} keys in one delete, {MOST_KEYS} are allowed")
        # A character that XML cannot hold would have the whole request refused, for every key in it.
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
        with translated():
            answer = await self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        errors = answer.get("Errors", ())
        return [_undeleted(entry.get("Key", ""), entry.get("Code", "unknown")) for entry in errors]

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
    """`AccessDenied` as `access_denied`: one spelling for all codes that are told."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code).lower()
    return (re.sub("[^a-z0-9_]", "_", words).lstrip("0123456789_") or "unknown")[:64]


@contextmanager
def translated() -> Iterator[None]:
    """The client's exceptions as ours, with the store's own codes, which people know."""
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
