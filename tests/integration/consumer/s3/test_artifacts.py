"""The port to S3, on moto or a real server, and on a stub for errors."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from deploy.local.processes.ports import free_port
from deploy.local.s3_real.server import RealS3
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.s3.artifacts import S3Artifacts, snake_case
from evaluation_cancel.consumer.s3.connect import S3Access, connect
from evaluation_cancel.consumer.s3.port import MOST_KEYS, StoredObject, Undeleted
from tests.support.consumer.objects import put
from tests.support.consumer.stub_server import serving

ODD_KEYS = ["a b", "a+b", "a%20b", "ä/ö", "a&<b>", "a\rb", "a\tb", "é", "e\u0301", "日本", "a//b", "'\"", "~"]


async def listed(artifacts: S3Artifacts, bucket: str, prefix: str = "") -> list[StoredObject]:
    return [stored async for page in artifacts.objects(bucket, prefix) for stored in page]


async def test_only_keys_under_the_prefix_are_listed_with_their_sizes(
    artifacts: S3Artifacts, s3_client: Any, s3_bucket: str
) -> None:
    await put(s3_client, s3_bucket, "evals/1/a", "evals/1/b", "evals/10/a")
    assert await listed(artifacts, s3_bucket, "evals/1/") == [
        StoredObject(key="evals/1/a", size=7),
        StoredObject(key="evals/1/b", size=7),
    ]


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_a_key_with_unusual_characters_is_listed_and_deleted_and_no_other(
    environment: Stack, artifacts: S3Artifacts, s3_client: Any, s3_bucket: str, key: str
) -> None:
    if isinstance(environment.s3, RealS3) and "//" in key:
        pytest.skip("its keys are paths of files, in which two slashes are one")
    await put(s3_client, s3_bucket, key, "bystander")
    assert {stored.key for stored in await listed(artifacts, s3_bucket)} == {key, "bystander"}
    assert await artifacts.delete(s3_bucket, [key]) == []
    assert [stored.key for stored in await listed(artifacts, s3_bucket)] == ["bystander"]


async def test_a_key_that_xml_cannot_hold_does_not_keep_the_others_from_being_deleted(
    artifacts: S3Artifacts, s3_client: Any, s3_bucket: str
) -> None:
    await put(s3_client, s3_bucket, "plain", "odd\x01")
    assert await artifacts.delete(s3_bucket, ["plain", "odd\x01"]) == []
    assert (await s3_client.list_objects_v2(Bucket=s3_bucket))["KeyCount"] == 0


async def test_more_than_a_thousand_keys_in_one_delete_are_refused_before_they_are_sent(artifacts: S3Artifacts) -> None:
    with pytest.raises(ValueError, match="1001 keys"):
        await artifacts.delete("bucket", ["x"] * (MOST_KEYS + 1))


async def test_all_pages_of_a_list_are_read(artifacts: S3Artifacts, s3_client: Any, s3_bucket: str) -> None:
    await put(s3_client, s3_bucket, *(f"k{n:02}" for n in range(23)))
    paged = S3Artifacts(s3_client, page=10)
    assert [len(page) async for page in paged.objects(s3_bucket, "")] == [10, 10, 3]
    assert len(await listed(artifacts, s3_bucket)) == 23


async def test_unfinished_uploads_are_found_and_aborted(artifacts: S3Artifacts, s3_client: Any, s3_bucket: str) -> None:
    await s3_client.create_multipart_upload(Bucket=s3_bucket, Key="evals/1/big")
    await s3_client.create_multipart_upload(Bucket=s3_bucket, Key="evals/10/big")
    uploads = [upload async for page in artifacts.uploads(s3_bucket, "evals/1/") for upload in page]
    assert [upload.key for upload in uploads] == ["evals/1/big"]
    await artifacts.abort(s3_bucket, uploads[0])
    await artifacts.abort(s3_bucket, uploads[0])
    assert [upload async for page in artifacts.uploads(s3_bucket, "evals/1/") for upload in page] == []


async def test_the_old_versions_of_a_versioned_bucket_are_listed(
    artifacts: S3Artifacts, s3_client: Any, s3_bucket: str
) -> None:
    await s3_client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    await put(s3_client, s3_bucket, "a", "a", "b")
    assert await artifacts.delete(s3_bucket, ["a"]) == []
    assert [stored.key for stored in await listed(artifacts, s3_bucket)] == ["b"]
    assert [key async for page in artifacts.old_versions(s3_bucket, "") for key in page] == ["a", "a"]


async def test_an_unversioned_bucket_holds_no_old_versions(
    artifacts: S3Artifacts, s3_client: Any, s3_bucket: str
) -> None:
    await put(s3_client, s3_bucket, "a", "a")
    assert [key async for page in artifacts.old_versions(s3_bucket, "") for key in page] == []


async def test_a_missing_bucket_is_a_refusal(artifacts: S3Artifacts) -> None:
    with pytest.raises(Refusal) as refused:
        await listed(artifacts, "no-such-bucket-anywhere")
    assert refused.value.code == "no_such_bucket"


# On a stub

DENIED = """<?xml version="1.0"?><DeleteResult>
<Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message></Error>
<Error><Key>b</Key><Code>SlowDown</Code><Message>later</Message></Error>
<Error><Key>c</Key><Code>InternalError</Code><Message>oh</Message></Error></DeleteResult>"""


def to(url: str, **changes: Any) -> S3Access:
    return S3Access(
        endpoint_url=url,
        region="us-east-1",
        access_key="a",
        secret_key="s",
        path_style=True,
        tries=1,
        read_timeout=1.0,
        **changes,
    )


async def test_errors_of_single_keys_inside_a_200_are_read() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text=DENIED, content_type="application/xml")

    async with serving(answer) as address, connect(to(f"http://{address}")) as artifacts:
        assert await artifacts.delete("bucket", ["a", "b", "c", "d"]) == [
            Undeleted(key="a", code="access_denied", final=True),
            Undeleted(key="b", code="slow_down", final=False),
            Undeleted(key="c", code="internal_error", final=False),
        ]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", Refusal),
        (404, "NoSuchBucket", Refusal),
        (503, "SlowDown", TemporaryError),
        (500, "InternalError", TemporaryError),
        (403, "RequestTimeTooSkewed", TemporaryError),
        (403, "InvalidAccessKeyId", TemporaryError),
        (501, "NotImplemented", TemporaryError),
    ],
)
async def test_an_error_keeps_the_stores_own_code(status: int, code: str, kind: type[Exception]) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        text = f"<Error><Code>{code}</Code><Message>m</Message></Error>"
        return web.Response(status=status, text=text, content_type="application/xml")

    async with serving(answer) as address, connect(to(f"http://{address}")) as artifacts:
        with pytest.raises(kind) as raised:
            await listed(artifacts, "bucket")
    assert raised.value.code == snake_case(code)  # type: ignore[attr-defined]


async def test_a_store_that_does_not_answer_is_a_temporary_error() -> None:
    async with connect(to(f"http://127.0.0.1:{free_port()}")) as artifacts:
        with pytest.raises(TemporaryError) as raised:
            await listed(artifacts, "bucket")
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize("wanted", [True, False])
async def test_content_md5_is_sent_only_if_the_settings_demand_it(wanted: bool) -> None:
    seen: list[str | None] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        seen.append(request.headers.get("Content-MD5"))
        signed = request.headers["Authorization"]
        assert ("content-md5" in signed) == wanted
        return web.Response(text="<DeleteResult/>", content_type="application/xml")

    async with serving(answer) as address, connect(to(f"http://{address}", content_md5=wanted)) as artifacts:
        await artifacts.delete("bucket", ["a"])
    assert [value is not None for value in seen] == [wanted]


@pytest.mark.parametrize(
    ("code", "message"),
    [("MissingContentMD5", "m"), ("InvalidRequest", "Missing required header for this request: Content-MD5")],
)
async def test_a_store_that_demands_content_md5_gets_it_from_then_on(code: str, message: str) -> None:
    seen: list[bool] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        seen.append("Content-MD5" in request.headers)
        if seen[-1]:
            return web.Response(text="<DeleteResult/>", content_type="application/xml")
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return web.Response(status=400, text=text, content_type="application/xml")

    async with serving(answer) as address, connect(to(f"http://{address}")) as artifacts:
        assert await artifacts.delete("bucket", ["a"]) == []
        assert await artifacts.delete("bucket", ["b"]) == []
    assert seen == [False, True, True]


def test_codes_have_one_spelling() -> None:
    assert [snake_case(code) for code in ("AccessDenied", "SlowDown", "XAmzContentSHA256Mismatch", "503", "")] == [
        "access_denied",
        "slow_down",
        "xamz_content_sha256_mismatch",
        "unknown",
        "unknown",
    ]
