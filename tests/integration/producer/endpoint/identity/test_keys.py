"""Keys come and go while the endpoint runs; and the issuer may be away."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.local.services.issuer import Issuer, issuer
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, KeysUnavailable, KeyTimes
from evaluation_cancel.producer.endpoint.identity.tokens import Tokens, TrustedIssuer, Unauthenticated
from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from tests.support.producer.service import Service
from tests.support.waiting import until

TIMES = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ClusterEnv:
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
async def cluster_env(client: httpx.AsyncClient) -> AsyncIterator[ClusterEnv]:
    async with issuer() as tokens:
        yield ClusterEnv(tokens, client)


async def test_a_new_key_is_found_without_a_restart(cluster_env: ClusterEnv) -> None:
    old = cluster_env.tokens.token("ada")
    assert await cluster_env.believed(old)
    cluster_env.clock.now += TIMES.cooldown
    cluster_env.tokens.rotate()
    assert await cluster_env.believed(cluster_env.tokens.token("ada"))
    assert await cluster_env.believed(old)


async def test_the_running_endpoint_learns_of_a_new_key(served: Service) -> None:
    async with served.client() as before:
        served.tokens.rotate()
        async with served.client() as after:
            page = f"/v1/evaluations/{uuid.uuid4()}/cancellation"

            async def known() -> bool:
                return (await after.get(page)).status_code == 404

            await until(known)
            assert (await before.get(page)).status_code == 404


async def test_a_withdrawn_key_is_no_longer_believed_after_the_lifetime(cluster_env: ClusterEnv) -> None:
    old = cluster_env.tokens.token("ada")
    assert await cluster_env.believed(old)
    cluster_env.tokens.rotate()
    del cluster_env.tokens.keys[0]
    assert await cluster_env.believed(old)
    cluster_env.clock.now += TIMES.lifetime + 1
    assert not await cluster_env.believed(old)


async def test_unknown_key_ids_do_not_make_us_a_nuisance_to_the_issuer(cluster_env: ClusterEnv) -> None:
    for number in range(50):
        assert not await cluster_env.believed(
            cluster_env.tokens.sign({"iss": cluster_env.tokens.issuer}, {"kid": f"unknown-{number}"})
        )
    assert cluster_env.tokens.requests == 1


async def test_while_the_issuer_is_away_known_keys_stay_good_for_a_while(cluster_env: ClusterEnv) -> None:
    token = cluster_env.tokens.token("ada")
    assert await cluster_env.believed(token)
    await cluster_env.tokens.stop()
    cluster_env.clock.now += TIMES.lifetime + 1
    assert await cluster_env.believed(token)
    # That an old set lacks a key says nothing.
    unknown = cluster_env.tokens.sign({"iss": cluster_env.tokens.issuer}, {"kid": "unknown"})
    with pytest.raises(KeysUnavailable):
        await cluster_env.believed(unknown)
    cluster_env.clock.now += TIMES.grace
    with pytest.raises(KeysUnavailable):
        await cluster_env.believed(token)
    await cluster_env.tokens.start()
    cluster_env.clock.now += TIMES.cooldown
    assert await cluster_env.believed(token)


async def test_a_key_that_came_while_the_issuer_is_away_is_no_bad_token(cluster_env: ClusterEnv) -> None:
    assert await cluster_env.believed(cluster_env.tokens.token("ada"))
    await cluster_env.tokens.stop()
    cluster_env.tokens.rotate()
    cluster_env.clock.now += TIMES.cooldown
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await cluster_env.believed(cluster_env.tokens.token("ada"))
    await cluster_env.tokens.start()
    cluster_env.clock.now += TIMES.cooldown
    assert await cluster_env.believed(cluster_env.tokens.token("ada"))


async def test_keys_are_renewed_before_anybody_has_to_wait_for_it(cluster_env: ClusterEnv) -> None:
    token = cluster_env.tokens.token("ada")
    assert await cluster_env.believed(token)
    cluster_env.clock.now += TIMES.lifetime - 1
    assert await cluster_env.believed(token)
    await until(lambda: cluster_env.tokens.requests == 2)
    await until(lambda: cluster_env.keys._fetching is None)
    cluster_env.clock.now += TIMES.lifetime - 1
    assert await cluster_env.believed(token)


async def test_the_key_set_never_had_is_unavailable_and_not_a_bad_token(cluster_env: ClusterEnv) -> None:
    await cluster_env.tokens.stop()
    with pytest.raises(KeysUnavailable):
        await cluster_env.believed(cluster_env.tokens.token("ada"))


async def test_keys_that_are_not_for_signatures_or_too_short_are_not_used(cluster_env: ClusterEnv) -> None:
    good = dict(cluster_env.tokens.keys[-1].public)
    for change in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kid": 7}, {"n": "AQAB"}):
        cluster_env.tokens.keys[-1].public = {**good, **change}
        cluster_env.clock.now += TIMES.lifetime + TIMES.grace + 1
        assert not await cluster_env.believed(cluster_env.tokens.token("ada")), change
    cluster_env.tokens.keys[-1].public = good
    cluster_env.clock.now += TIMES.lifetime + 1
    assert await cluster_env.believed(cluster_env.tokens.token("ada"))


async def test_elliptic_curves_work_and_an_rsa_token_does_not_pass_for_one(client: httpx.AsyncClient) -> None:
    async with issuer(algorithm="ES256") as tokens, issuer() as rsa:
        cluster_env = ClusterEnv(tokens, client)
        assert await cluster_env.believed(tokens.token("ada"))
        rsa.keys[-1].id = tokens.keys[-1].id
        assert not await cluster_env.believed(rsa.token("ada", iss=tokens.issuer))


async def test_claims_may_have_other_names_and_places(client: httpx.AsyncClient) -> None:
    async with issuer() as tokens:
        cluster_env = ClusterEnv(
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
        caller = await cluster_env.verifier.caller([f"Bearer {token}"])
        assert caller.subject == "ada"
        assert caller.requested_by.id == "ada@example.org"
        assert caller.requested_by.kind == "service"
        assert caller.teams == ("team-1",)
        assert not await cluster_env.believed(tokens.token("ada", client_id="another", profile={"email": "a"}))
        assert not await cluster_env.believed(tokens.token("ada", client_id=tokens.audience))


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
