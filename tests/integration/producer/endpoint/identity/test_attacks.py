"""Tokens that must not be believed, each over a socket; none of them may publish, and none may cost us a fault."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.local.processes.plain_http import plain_client
from deploy.local.services.issuer import Issuer, SigningKey, issuer
from tests.support.producer.service import TEAM, Service
from tests.support.producer.sockets import connection, head
from tests.support.waiting import until

HOUR = 3600
STRANGER = SigningKey("RS256")


def claims(tokens: Issuer, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual: dict[str, Any] = {
        "iss": tokens.issuer,
        "sub": "ada",
        "aud": tokens.audience,
        "teams": [TEAM],
        "iat": now,
        "exp": now + HOUR,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def signed(**changes: Any) -> Callable[[Issuer], str]:
    """With the issuer's own key, so that nothing but the claims is wrong; moments are seconds from now."""

    def make(tokens: Issuer) -> str:
        now = int(time.time())
        moments = {name: now + value for name, value in changes.items() if name in MOMENTS and isinstance(value, int)}
        return tokens.sign(claims(tokens, **{**changes, **moments}))

    return make


MOMENTS = ("exp", "iat", "nbf")


def headed(**headers: Any) -> Callable[[Issuer], str]:
    return lambda tokens: tokens.sign(claims(tokens), headers)


def strangers(**headers: Any) -> Callable[[Issuer], str]:
    """Signed by somebody else, with headers that offer the key."""
    return lambda tokens: jwt.encode(claims(tokens), STRANGER.private, "RS256", {"kid": STRANGER.id, **headers})


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], payload: bytes | dict[str, Any], signature: bytes = b"") -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return f"{part(json.dumps(header).encode())}.{part(body)}.{part(signature)}"


def unsigned(tokens: Issuer) -> str:
    return by_hand({"alg": "none", "typ": "JWT", "kid": tokens.keys[-1].id}, claims(tokens))


def hmac_with_the_public_key(tokens: Issuer) -> str:
    key = tokens.keys[-1]
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = by_hand({"alg": "HS256", "typ": "JWT", "kid": key.id}, claims(tokens))
    signing_input = token.rpartition(".")[0]
    return f"{signing_input}.{part(hmac.new(public, signing_input.encode(), hashlib.sha256).digest())}"


def changed_payload(tokens: Issuer) -> str:
    header, _, signature = tokens.token("ada", [TEAM]).split(".")
    return f"{header}.{part(json.dumps(claims(tokens, teams=['team-8'])).encode())}.{signature}"


def nested_payload(tokens: Issuer) -> str:
    header = {"alg": "RS256", "kid": tokens.keys[-1].id}
    return by_hand(header, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")


def nested_header(_tokens: Issuer) -> str:
    deep = b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}"
    return f"{part(deep)}.{part(b'{}')}."


def signed_bytes(tokens: Issuer, payload: bytes) -> str:
    """Whatever payload it is, with the issuer's own signature."""
    key = tokens.keys[-1]
    signing_input = f"{tokens.sign(claims(tokens)).partition('.')[0]}.{part(payload)}"
    signature = jwt.get_algorithm_by_name("RS256").sign(signing_input.encode(), key.private)
    return f"{signing_input}.{part(signature)}"


ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "alg none": unsigned,
    "HS256 with the public key": hmac_with_the_public_key,
    "another's signature under a known kid": lambda t: jwt.encode(
        claims(t), STRANGER.private, "RS256", {"kid": t.keys[-1].id}
    ),
    "changed payload": changed_payload,
    "no exp": signed(exp=None),
    "no sub": signed(sub=None),
    "no iss": signed(iss=None),
    "no aud": signed(aud=None),
    "wrong aud": signed(aud="another-service"),
    "empty aud": signed(aud=[]),
    "aud of another type": signed(aud={"evaluation-cancel": True}),
    "wrong iss": signed(iss="https://issuer.example"),
    "iss of another type": lambda t: signed_bytes(t, json.dumps(claims(t, iss=[t.issuer])).encode()),
    "iat in the future": signed(iat=120),
    "nbf in the future": signed(nbf=120),
    "expired beyond the leeway": signed(exp=-120, iat=-HOUR),
    "exp is no number": signed(exp="tomorrow"),
    "exp is infinite": signed(exp=float("inf")),
    "exp is not a number at all": signed(exp=float("nan")),
    "sub is a list": signed(sub=["ada"]),
    "sub is too long": signed(sub="x" * 513),
    "sub has a NUL": signed(sub="a\x00b"),
    "sub is empty": signed(sub=""),
    "teams holds a number": signed(teams=[TEAM, 7]),
    "too many teams": signed(teams=[f"team-{n}" for n in range(1001)]),
    "no kid, and another key": lambda t: jwt.encode(claims(t), STRANGER.private, "RS256"),
    "unknown kid": headed(kid="another"),
    "kid is a URL": headed(kid="https://stranger.example/key"),
    "kid is a path": headed(kid="../../../../dev/null"),
    "kid is SQL": headed(kid="' OR '1'='1"),
    "embedded jwk": strangers(jwk=STRANGER.public),
    "jku": strangers(jku="https://stranger.example/jwks.json"),
    "x5u": strangers(x5u="https://stranger.example/chain.pem"),
    "x5c": strangers(x5c=["MIIB"]),
    "unknown critical header": headed(crit=["exp"]),
    "a payload that is not encoded": headed(crit=["b64"], b64=False),
    "RS384": lambda t: jwt.encode(claims(t), t.keys[-1].private, "RS384", {"kid": t.keys[-1].id}),
    "PS256": lambda t: jwt.encode(claims(t), t.keys[-1].private, "PS256", {"kid": t.keys[-1].id}),
    "nested payload": nested_payload,
    "nested header": nested_header,
    "payload is a list": lambda t: by_hand({"alg": "RS256", "kid": t.keys[-1].id}, b"[]"),
    "payload is no JSON": lambda t: by_hand({"alg": "RS256", "kid": t.keys[-1].id}, b"\xff"),
    "alg is a list": lambda t: by_hand({"alg": ["RS256"], "kid": t.keys[-1].id}, json.dumps(claims(t)).encode()),
    "alg is an object": lambda t: by_hand({"alg": {}, "kid": t.keys[-1].id}, json.dumps(claims(t)).encode()),
    "kid is a list": lambda t: by_hand({"alg": "RS256", "kid": [t.keys[-1].id]}, json.dumps(claims(t)).encode()),
    "no alg": lambda t: by_hand({"kid": t.keys[-1].id}, json.dumps(claims(t)).encode()),
    "two parts": lambda t: ".".join(t.token("ada", [TEAM]).split(".")[:2]),
    "four parts": lambda t: t.token("ada", [TEAM]) + ".x",
    "empty parts": lambda _: "..",
    "a word": lambda _: "secret",
}


async def ask(served: Service, authorization: str | None, evaluation: uuid.UUID) -> httpx.Response:
    async with served.client_with(authorization) as client:
        return await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "wait=20"})


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_token_that_must_not_be_believed_is_401(served: Service, name: str) -> None:
    evaluation = await served.evaluation()
    token = ATTACKS[name](served.tokens)
    answer = await ask(served, f"Bearer {token}", evaluation)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(answer.json()) == {"detail"}
    assert token not in answer.text
    assert await served.count("commands", evaluation) == 0


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "bearer", "Token x"])
async def test_no_token_is_401_with_the_challenge_alone(served: Service, authorization: str | None) -> None:
    answer = await ask(served, authorization, uuid.uuid4())
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_good_token_is_believed_which_shows_that_the_others_fail_for_their_fault(served: Service) -> None:
    for make in (
        signed(),
        signed(exp=-10, iat=-HOUR),
        signed(iat=10),
        signed(nbf=10),
        signed(aud=["x", "evaluation-cancel"]),
    ):
        answer = await ask(served, f"Bearer {make(served.tokens)}", await served.evaluation())
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


@pytest.mark.parametrize("rest", [b"\xff", b'"', b"[}"])
async def test_a_signed_payload_that_cannot_be_parsed_is_401(served: Service, rest: bytes) -> None:
    payload = json.dumps(claims(served.tokens))[:-1].encode() + b',"x":' + rest + b"}"
    answer = await ask(served, f"Bearer {signed_bytes(served.tokens, payload)}", uuid.uuid4())
    assert answer.status_code == 401


async def test_a_signed_payload_too_deep_for_some_parsers_is_either_read_or_refused(served: Service) -> None:
    payload = json.dumps(claims(served.tokens))[:-1].encode() + b',"x":' + b"[" * 3000 + b"]" * 3000 + b"}"
    answer = await ask(served, f"Bearer {signed_bytes(served.tokens, payload)}", uuid.uuid4())
    assert answer.status_code in (401, 404)  # Python 3.13 reads it, 3.11 does not


async def test_two_authorization_headers_are_401_even_if_one_is_good(served: Service) -> None:
    good = f"Bearer {served.tokens.token('ada', [TEAM])}"
    for pair in ((good, "Bearer x"), ("Bearer x", good), (good, good)):
        async with plain_client(served.url, timeout=60) as client:
            answer = await client.post(
                f"/v1/evaluations/{uuid.uuid4()}/cancel", headers=[("authorization", each) for each in pair]
            )
        assert answer.status_code == 401


async def test_a_token_of_64_kib_is_refused_before_anybody_looks_into_it(served: Service) -> None:
    token = served.tokens.token("ada", [TEAM], padding="x" * 65536)
    answer = await ask(served, f"Bearer {token}", uuid.uuid4())
    assert answer.status_code in (400, 431)


async def test_who_asks_is_settled_before_what_is_asked(served: Service) -> None:
    async with served.client_with(None) as stranger:
        for path in ("/v1/evaluations/not-a-uuid/cancel", f"/v1/evaluations/{uuid.uuid4()}/cancel"):
            answer = await stranger.post(path, content=b"{", headers={"content-type": "application/json"})
            assert answer.status_code == 401
        for path in ("/v1/cancellations/not-a-uuid", "/v1/evaluations/not-a-uuid/cancellation"):
            assert (await stranger.get(path)).status_code == 401


async def test_another_issuer_of_the_same_key_id_is_not_believed(served: Service) -> None:
    async with issuer() as other:
        other.keys[-1].id = served.tokens.keys[-1].id
        token = other.token("ada", [TEAM], iss=served.tokens.issuer)
        assert (await ask(served, f"Bearer {token}", uuid.uuid4())).status_code == 401


async def test_odd_paths_make_one_line_each_and_tell_no_token(served: Service) -> None:
    token = served.tokens.token("ada", [TEAM])
    mark = uuid.uuid4().hex
    forged = "%0d%0a%7B%22action%22%3A%22request%22%2C%22status%22%3A200%7D%0a"
    paths = (
        f"/{mark}?access_token={token}",
        f"/{mark}/v1/evaluations/{token}/cancel",
        f"/{mark}/{forged}",
        f"/{mark}/%1b%5b31m%00%ff%e2%80%a8",
        f"/{mark}/" + "a/" * 5000,
    )
    for path in paths:
        async with connection(served.url) as client:
            await client.send(head("POST", path, authorization=f"Bearer {token}"))
            assert await client.status() == 404
    async with connection(served.url) as client:
        await client.send(head("POST", f"/v1/evaluations/{token}/cancel", authorization=f"Bearer {token}"))
        assert await client.status() == 422
    await until(lambda: served.endpoint.child.log.read_text().count(mark) >= len(paths))
    log = served.endpoint.child.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if mark in line]
    assert [(line["action"], line["status"]) for line in lines] == [("request", 404)] * len(paths)
    assert all(len(line["path"]) <= 200 for line in lines)
    assert all(part not in log for part in token.split("."))
    assert log.isascii(), "a terminal may be led astray"


async def test_neither_tokens_nor_bodies_are_in_the_log(served: Service) -> None:
    token = served.tokens.token("ada", [TEAM])
    async with served.client_with(f"Bearer {token}") as client:
        body = {"reason": "a very secret reason"}
        answer = await client.post(f"/v1/evaluations/{await served.evaluation()}/cancel?token=query-secret", json=body)
        assert answer.status_code == 200
    # The line of a request is written after its answer.
    await until(lambda: answer.json()["evaluation_id"] in served.endpoint.child.log.read_text())
    log = served.endpoint.child.log.read_text()
    for secret in (token, token.split(".")[1], "a very secret reason", "query-secret"):
        assert secret not in log
