"""Issuers that are slow, endless or talk nonsense are as good as away, and nobody with a known key waits for them."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from deploy.local.services.issuer import SigningKey
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, KeysUnavailable, KeyTimes
from evaluation_cancel.producer.endpoint.identity.key_source import KeySource
from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from tests.support.waiting import until

TIMES = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=20)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as opened:
        yield opened


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def odd_issuer(answer: Answer) -> AsyncIterator[tuple[str, list[None]]]:
    """The address of a key set that is answered as told, and a list as long as the requests for it."""
    asked: list[None] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            asked.append(None)
            await answer(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks", asked
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def says(head: str, body: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def source(url: str, client: httpx.AsyncClient) -> KeySource:
    return KeySource(name="urn:odd", settings=IssuerSettings(jwks_url=url, audience=("any",)), client=client)


def with_bad_key(**changes: object) -> bytes:
    return json.dumps({"keys": [{"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB", **changes}]}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        drop_by_drop,
        silent,
        says("200 OK", b"<html>"),
        says("200 OK", b"[" * 100_000),
        says("200 OK", b'{"keys": {}}'),
        says("302 Found\r\nlocation: https://stranger.example/jwks", b""),
        says("500 Oops", b'{"keys": []}'),
        says("200 OK\r\ncontent-encoding: gzip", gzip.compress(b'{"keys": []}' + b" " * 10_000_000)),
        says("200 OK\r\ncontent-length: 100", b"{"),
    ],
    ids=["endless", "drop by drop", "silent", "html", "nested", "no list", "elsewhere", "500", "packed", "cut off"],
)
async def test_an_issuer_that_says_nothing_good_is_away(client: httpx.AsyncClient, answer: Answer) -> None:
    async with odd_issuer(answer) as (url, asked):
        times = KeyTimes(lifetime=300, grace=600, cooldown=300, timeout=1)
        keys = KeySet(source(url, client), times)
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await keys.key("any")
        assert len(asked) == 1


@pytest.mark.parametrize("change", [{"n": 7}, {"n": None}, {"e": []}, {"n": "%"}, {"e": "AA"}, {"kty": ["RSA"]}])
async def test_one_bad_key_of_a_set_spoils_nothing(client: httpx.AsyncClient, change: dict[str, object]) -> None:
    async with odd_issuer(says("200 OK", with_bad_key(**change))) as (url, _):
        assert await KeySet(source(url, client), TIMES).key("k") is None


async def test_nobody_with_a_known_key_waits_for_an_issuer_that_is_slow(client: httpx.AsyncClient) -> None:
    """Neither for strangers' key ids nor, once it has failed to answer in time, for the renewal of old keys."""
    now, known = [1000.0], SigningKey("RS256")
    patient = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=100_000)
    async with odd_issuer(says("200 OK", json.dumps({"keys": [known.public]}).encode())) as (url, _):
        keys = KeySet(source(url, client), patient, clock=lambda: now[0])
        assert await keys.key(known.id)
    async with odd_issuer(silent) as (url, asked):
        keys._source = source(url, client)
        now[0] += patient.cooldown
        strangers = [asyncio.create_task(keys.key(f"unknown-{number}")) for number in range(50)]
        await until(lambda: asked)
        assert await keys.key(known.id)
        assert not any(each.done() for each in strangers)
        assert len(asked) == 1
        keys._failed = True
        now[0] += patient.lifetime + 1
        assert await keys.key(known.id)
        fetching = keys._fetching
        assert fetching is not None
        for task in (*strangers, fetching):
            task.cancel()
        await asyncio.gather(*strangers, fetching, return_exceptions=True)
