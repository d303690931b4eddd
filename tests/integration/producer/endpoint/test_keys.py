"""Keys come and go while the endpoint runs; and the issuer may be away."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from deploy.local.issuer import Issuer, issuer
from producer.endpoint.jwks import KeySet, KeysUnavailable, KeyTimes
from producer.endpoint.settings import IssuerSettings
from producer.endpoint.tokens import Tokens, TrustedIssuer, Unauthenticated
from tests.integration.producer.endpoint.service import Service
from tests.waiting import until

TIMES = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bed:
    """A verifier, an issuer of its own, and a clock for the age of its keys."""

    def __init__(self, tokens: Issuer, client: httpx.AsyncClient, **settings: object) -> None:
        self.tokens = tokens
        self.clock = Clock()
        self.keys = KeySet(tokens.jwks_url, client, TIMES, clock=self.clock)
        trusted = IssuerSettings(**{"jwks_url": tokens.jwks_url, "audience": tokens.audience, **settings})
        self.verifier = Tokens({tokens.issuer: TrustedIssuer(settings=trusted, keys=self.keys)}, leeway=30)

    async def believed(self, token: str) -> bool:
        try:
            await self.verifier.caller([f"Bearer {token}"])
        except Unauthenticated:
            return False
        return True


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as opened:
        yield opened


@pytest.fixture
async def bed(client: httpx.AsyncClient) -> AsyncIterator[Bed]:
    async with issuer() as tokens:
        yield Bed(tokens, client)


async def test_a_new_key_is_found_without_a_restart(bed: Bed) -> None:
    old = bed.tokens.token("ada")
    assert await bed.believed(old)
    bed.clock.now += TIMES.cooldown
    bed.tokens.rotate()
    assert await bed.believed(bed.tokens.token("ada"))
    assert await bed.believed(old)


async def test_the_running_endpoint_learns_of_a_new_key(served: Service) -> None:
    async with served.client() as before:
        served.tokens.rotate()
        async with served.client() as after:
            page = f"/v1/evaluations/{uuid.uuid4()}/cancellation"

            async def known() -> bool:
                return (await after.get(page)).status_code == 404

            await until(known)
            assert (await before.get(page)).status_code == 404


async def test_a_withdrawn_key_is_no_longer_believed_after_the_lifetime(bed: Bed) -> None:
    old = bed.tokens.token("ada")
    assert await bed.believed(old)
    bed.tokens.rotate()
    del bed.tokens.keys[0]
    assert await bed.believed(old)
    bed.clock.now += TIMES.lifetime + 1
    assert not await bed.believed(old)


async def test_unknown_key_ids_do_not_make_us_a_nuisance_to_the_issuer(bed: Bed) -> None:
    for number in range(50):
        assert not await bed.believed(bed.tokens.sign({"iss": bed.tokens.issuer}, {"kid": f"unknown-{number}"}))
    assert bed.tokens.requests == 1


async def test_while_the_issuer_is_away_known_keys_stay_good_for_a_while(bed: Bed) -> None:
    token = bed.tokens.token("ada")
    assert await bed.believed(token)
    await bed.tokens.stop()
    bed.clock.now += TIMES.lifetime + 1
    assert await bed.believed(token)
    # That an old set lacks a key says nothing.
    unknown = bed.tokens.sign({"iss": bed.tokens.issuer}, {"kid": "unknown"})
    with pytest.raises(KeysUnavailable):
        await bed.believed(unknown)
    bed.clock.now += TIMES.grace
    with pytest.raises(KeysUnavailable):
        await bed.believed(token)
    await bed.tokens.start()
    bed.clock.now += TIMES.cooldown
    assert await bed.believed(token)


async def test_a_key_that_came_while_the_issuer_is_away_is_no_bad_token(bed: Bed) -> None:
    assert await bed.believed(bed.tokens.token("ada"))
    await bed.tokens.stop()
    bed.tokens.rotate()
    bed.clock.now += TIMES.cooldown
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await bed.believed(bed.tokens.token("ada"))
    await bed.tokens.start()
    bed.clock.now += TIMES.cooldown
    assert await bed.believed(bed.tokens.token("ada"))


async def test_keys_are_renewed_before_anybody_has_to_wait_for_it(bed: Bed) -> None:
    token = bed.tokens.token("ada")
    assert await bed.believed(token)
    bed.clock.now += TIMES.lifetime - 1
    assert await bed.believed(token)
    await until(lambda: bed.tokens.requests == 2)
    await until(lambda: bed.keys._fetching is None)
    bed.clock.now += TIMES.lifetime - 1
    assert await bed.believed(token)


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
        says("200 OK\r\ncontent-encoding: gzip", b"no gzip"),
        says("200 OK\r\ncontent-length: 100", b"{"),
    ],
    ids=["endless", "drop by drop", "silent", "html", "nested", "no list", "elsewhere", "500", "bad gzip", "cut off"],
)
async def test_an_issuer_that_says_nothing_good_is_away(client: httpx.AsyncClient, answer: Answer) -> None:
    async with odd_issuer(answer) as (url, asked):
        times = KeyTimes(lifetime=300, grace=600, cooldown=300, timeout=1)
        keys = KeySet(url, client, times)
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await keys.key("any")
        assert len(asked) == 1


@pytest.mark.parametrize("change", [{"n": 7}, {"n": None}, {"e": []}, {"n": "%"}, {"e": "AA"}, {"kty": ["RSA"]}])
async def test_one_bad_key_of_a_set_spoils_nothing(client: httpx.AsyncClient, change: dict[str, object]) -> None:
    async with odd_issuer(says("200 OK", with_bad_key(**change))) as (url, _):
        assert await KeySet(url, client, TIMES).key("k") is None


async def test_nobody_with_a_known_key_waits_for_an_issuer_that_is_slow(client: httpx.AsyncClient, bed: Bed) -> None:
    """Neither for strangers' key ids nor, once it has failed to answer in time, for the renewal of old keys."""
    token = bed.tokens.token("ada")
    assert await bed.believed(token)
    async with odd_issuer(silent) as (url, asked):
        bed.keys._url = url
        bed.keys._times = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=100_000)
        bed.clock.now += TIMES.cooldown
        stranger = bed.tokens.sign({"iss": bed.tokens.issuer}, {"kid": "unknown"})
        waiting = [asyncio.create_task(bed.believed(stranger)) for _ in range(50)]
        await until(lambda: asked)
        assert await bed.believed(token)
        assert not any(each.done() for each in waiting)
        assert len(asked) == 1
        bed.keys._failed = True
        bed.clock.now += TIMES.lifetime + 1
        assert await bed.believed(token)
        for each in waiting:
            each.cancel()
        fetching = bed.keys._fetching
        assert fetching is not None
        fetching.cancel()
        await asyncio.gather(*waiting, fetching, return_exceptions=True)


async def test_the_key_set_never_had_is_unavailable_and_not_a_bad_token(bed: Bed) -> None:
    await bed.tokens.stop()
    with pytest.raises(KeysUnavailable):
        await bed.believed(bed.tokens.token("ada"))


async def test_keys_that_are_not_for_signatures_or_too_short_are_not_used(bed: Bed) -> None:
    good = dict(bed.tokens.keys[-1].public)
    for change in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kid": 7}, {"n": "AQAB"}):
        bed.tokens.keys[-1].public = {**good, **change}
        bed.clock.now += TIMES.lifetime + TIMES.grace + 1
        assert not await bed.believed(bed.tokens.token("ada")), change
    bed.tokens.keys[-1].public = good
    bed.clock.now += TIMES.lifetime + 1
    assert await bed.believed(bed.tokens.token("ada"))


async def test_elliptic_curves_work_and_an_rsa_token_does_not_pass_for_one(client: httpx.AsyncClient) -> None:
    async with issuer(algorithm="ES256") as tokens, issuer() as rsa:
        bed = Bed(tokens, client)
        assert await bed.believed(tokens.token("ada"))
        rsa.keys[-1].id = tokens.keys[-1].id
        assert not await bed.believed(rsa.token("ada", iss=tokens.issuer))


async def test_claims_may_have_other_names_and_places(client: httpx.AsyncClient) -> None:
    async with issuer() as tokens:
        bed = Bed(
            tokens,
            client,
            audience_claim="client_id",
            user_claim=["profile", "email"],
            teams_claim="https://console.example/teams",
            kind="service",
        )
        token = tokens.token(
            "ada",
            ["not-these"],
            aud=None,
            client_id=tokens.audience,
            profile={"email": "ada@example.org"},
            **{"https://console.example/teams": ["team-1"]},
        )
        caller = await bed.verifier.caller([f"Bearer {token}"])
        assert caller.subject == "ada"
        assert caller.requested_by.id == "ada@example.org"
        assert caller.requested_by.kind == "service"
        assert caller.teams == ("team-1",)
        assert not await bed.believed(tokens.token("ada", client_id="another", profile={"email": "a"}))
        assert not await bed.believed(tokens.token("ada", client_id=tokens.audience))


async def test_several_issuers_are_kept_apart(client: httpx.AsyncClient) -> None:
    async with issuer() as one, issuer() as two:
        trusted = {
            each.issuer: TrustedIssuer(
                settings=IssuerSettings(jwks_url=each.jwks_url, audience=(each.audience,)),
                keys=KeySet(each.jwks_url, client, TIMES),
            )
            for each in (one, two)
        }
        verifier = Tokens(trusted, leeway=30)
        assert (await verifier.caller([f"Bearer {two.token('ada')}"])).issuer == two.issuer
        with pytest.raises(Unauthenticated):
            await verifier.caller([f"Bearer {one.token('ada', iss=two.issuer)}"])
