"""Keys come and go while the endpoint runs; and the issuer may be away."""

import uuid
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from deploy.local.services.issuer import Issuer, issuer
from evaluation_cancel.producer.endpoint.identity.claims import Unauthenticated
from evaluation_cancel.producer.endpoint.identity.jwks import KeysUnavailable
from evaluation_cancel.producer.endpoint.identity.tokens import Tokens, TrustedIssuer
from tests.support.producer.service import Service
from tests.support.producer.verifier import TIMES, Verifier
from tests.support.waiting import until


def nameless(tokens: Issuer) -> str:
    """A token that does not name its key."""
    claims = jwt.decode(tokens.token("ada"), options={"verify_signature": False})
    return jwt.encode(claims, tokens.keys[-1].private, tokens.keys[-1].algorithm)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as opened:
        yield opened


@pytest.fixture
async def verified(client: httpx.AsyncClient) -> AsyncIterator[Verifier]:
    async with issuer() as tokens:
        yield Verifier(tokens, client)


async def test_a_new_key_is_found_without_a_restart(verified: Verifier) -> None:
    old = verified.tokens.token("ada")
    assert await verified.believed(old)
    verified.clock.now += TIMES.cooldown
    verified.tokens.rotate()
    assert await verified.believed(verified.tokens.token("ada"))
    assert await verified.believed(old)


async def test_the_running_endpoint_learns_of_a_new_key(served: Service) -> None:
    async with served.client() as before:
        served.tokens.rotate()
        async with served.client() as after:
            page = f"/v1/evaluations/{uuid.uuid4()}/cancellation"

            async def known() -> bool:
                return (await after.get(page)).status_code == 404

            await until(known)
            assert (await before.get(page)).status_code == 404


async def test_a_withdrawn_key_is_no_longer_believed_after_the_lifetime(verified: Verifier) -> None:
    old = verified.tokens.token("ada")
    assert await verified.believed(old)
    verified.tokens.rotate()
    del verified.tokens.keys[0]
    assert await verified.believed(old)
    verified.clock.now += TIMES.lifetime + 1
    assert not await verified.believed(old)


async def test_unknown_key_ids_do_not_make_us_a_nuisance_to_the_issuer(verified: Verifier) -> None:
    for number in range(50):
        assert not await verified.believed(
            verified.tokens.sign({"iss": verified.tokens.issuer}, {"kid": f"unknown-{number}"})
        )
    assert verified.tokens.requests == 1


async def test_while_the_issuer_is_away_known_keys_stay_good_for_a_while(verified: Verifier) -> None:
    token = verified.tokens.token("ada")
    assert await verified.believed(token)
    await verified.tokens.stop()
    verified.clock.now += TIMES.lifetime + 1
    assert await verified.believed(token)
    # That an old set lacks a key says nothing.
    unknown = verified.tokens.sign({"iss": verified.tokens.issuer}, {"kid": "unknown"})
    with pytest.raises(KeysUnavailable):
        await verified.believed(unknown)
    verified.clock.now += TIMES.grace
    with pytest.raises(KeysUnavailable):
        await verified.believed(token)
    await verified.tokens.start()
    verified.clock.now += TIMES.cooldown
    assert await verified.believed(token)


async def test_a_key_that_came_while_the_issuer_is_away_is_no_bad_token(verified: Verifier) -> None:
    assert await verified.believed(verified.tokens.token("ada"))
    await verified.tokens.stop()
    verified.tokens.rotate()
    verified.clock.now += TIMES.cooldown
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await verified.believed(verified.tokens.token("ada"))
    await verified.tokens.start()
    verified.clock.now += TIMES.cooldown
    assert await verified.believed(verified.tokens.token("ada"))


async def test_keys_are_renewed_before_anybody_has_to_wait_for_it(verified: Verifier) -> None:
    token = verified.tokens.token("ada")
    assert await verified.believed(token)
    verified.clock.now += TIMES.lifetime - 1
    assert await verified.believed(token)
    await until(lambda: verified.tokens.requests == 2)
    await until(lambda: verified.keys._fetching is None)
    verified.clock.now += TIMES.lifetime - 1
    assert await verified.believed(token)


async def test_the_key_set_never_had_is_unavailable_and_not_a_bad_token(verified: Verifier) -> None:
    await verified.tokens.stop()
    with pytest.raises(KeysUnavailable):
        await verified.believed(verified.tokens.token("ada"))


async def test_keys_that_are_not_for_signatures_or_too_short_are_not_used(verified: Verifier) -> None:
    good = dict(verified.tokens.keys[-1].public)
    for change in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kid": 7}, {"n": "AQAB"}):
        verified.tokens.keys[-1].public = {**good, **change}
        verified.clock.now += TIMES.lifetime + TIMES.grace + 1
        assert not await verified.believed(verified.tokens.token("ada")), change
    verified.tokens.keys[-1].public = good
    verified.clock.now += TIMES.lifetime + 1
    assert await verified.believed(verified.tokens.token("ada"))


async def test_elliptic_curves_work_and_an_rsa_token_does_not_pass_for_one(client: httpx.AsyncClient) -> None:
    async with issuer(algorithm="ES256") as tokens, issuer() as rsa:
        verified = Verifier(tokens, client)
        assert await verified.believed(tokens.token("ada"))
        rsa.keys[-1].id = tokens.keys[-1].id
        assert not await verified.believed(rsa.token("ada", iss=tokens.issuer))


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"])
@pytest.mark.parametrize("named", [True, False], ids=["alg in the set", "no alg in the set"])
async def test_every_usual_algorithm_is_good_with_its_kind_of_key(
    client: httpx.AsyncClient, algorithm: str, named: bool
) -> None:
    async with issuer(algorithm=algorithm) as tokens:
        if not named:
            del tokens.keys[-1].public["alg"]
        assert await Verifier(tokens, client).believed(tokens.token("ada"))


async def test_an_algorithm_other_than_the_one_the_set_names_is_refused(client: httpx.AsyncClient) -> None:
    async with issuer(algorithm="RS512") as tokens:
        tokens.keys[-1].public["alg"] = "RS256"
        assert not await Verifier(tokens, client).believed(tokens.token("ada"))


async def test_an_issuer_with_one_key_need_not_name_it(client: httpx.AsyncClient) -> None:
    async with issuer() as tokens:
        only = tokens.keys[-1]
        assert await Verifier(tokens, client).believed(nameless(tokens))
        del only.public["kid"]
        assert await Verifier(tokens, client).believed(tokens.token("ada"))
        tokens.rotate()
        del tokens.keys[-1].public["kid"]
        assert not await Verifier(tokens, client).believed(nameless(tokens))


async def test_claims_may_have_other_names_and_places(client: httpx.AsyncClient) -> None:
    async with issuer() as tokens:
        verified = Verifier(
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
        caller = await verified.verifier.caller([f"Bearer {token}"])
        assert caller.subject == "ada"
        assert caller.requested_by.id == "ada@example.org"
        assert caller.requested_by.kind == "service"
        assert caller.teams == ("team-1",)
        assert not await verified.believed(tokens.token("ada", client_id="another", profile={"email": "a"}))
        assert not await verified.believed(tokens.token("ada", client_id=tokens.audience))


async def test_several_issuers_are_kept_apart(client: httpx.AsyncClient) -> None:
    async with issuer() as one, issuer() as two:
        environments = [Verifier(each, client) for each in (one, two)]
        trusted = {each.tokens.issuer: TrustedIssuer(settings=each.trusted, keys=each.keys) for each in environments}
        verifier = Tokens(trusted, leeway=30)
        assert (await verifier.caller([f"Bearer {two.token('ada')}"])).issuer == two.issuer
        with pytest.raises(Unauthenticated):
            await verifier.caller([f"Bearer {one.token('ada', iss=two.issuer)}"])
