"""An issuer of tokens for the stand: signing keys, the key set over HTTP, and tokens for every request.

It stands in for the identity provider in front of the HTTP endpoint, in tests, in the demo and under `up`:

    async with issuer() as tokens:
        tokens.issuer, tokens.jwks_url, tokens.token("ada", ["team-7"])

Every process that reaches the loopback interface can get a token for any user: `GET /token?user=ada&team=team-7`.
`producer/endpoint/identity/tokens.py` verifies them.
"""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from deploy.local.processes.ports import LOOPBACK, free_port

AUDIENCE: Final = "evaluation-cancel"
TEAMS_CLAIM: Final = "teams"
HOUR: Final = 3600.0


class SigningKey:
    """A key pair with its name in the key set."""

    def __init__(self, algorithm: str) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.algorithm = algorithm
        self.private: Any
        public: dict[str, Any]
        if algorithm[:2] in ("RS", "PS"):
            self.private = generate_rsa_key(public_exponent=65537, key_size=2048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        elif algorithm == "EdDSA":
            self.private = Ed25519PrivateKey.generate()
            public = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = generate_curve_key(SECP256R1() if algorithm == "ES256" else SECP384R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.public: dict[str, Any] = {**public, "kid": self.id, "use": "sig", "alg": algorithm}


class Issuer:
    """Signs with the newest key; the key set holds all of them, so that older tokens stay good."""

    def __init__(self, *, algorithm: str = "RS256", audience: str = AUDIENCE) -> None:
        self.port = free_port()
        self.issuer = f"http://{LOOPBACK}:{self.port}"
        self.jwks_url = f"{self.issuer}/.well-known/jwks.json"
        self.audience = audience
        self.requests = 0
        """How often the key set was asked for."""
        self.tokens_given = 0
        """To clients."""
        self._algorithm = algorithm
        self.keys = [SigningKey(algorithm)]
        self._runner: web.AppRunner | None = None

    def token(
        self,
        user: str,
        teams: Sequence[str] = (),
        *,
        audience: str | None = None,
        lifetime: float = HOUR,
        **claims: Any,
    ) -> str:
        """A token that is good now. `claims` are added; one that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "sub": user,
            "aud": audience or self.audience,
            TEAMS_CLAIM: list(teams),
            "iat": now,
            "exp": now + int(lifetime),
        }
        return self.sign({name: value for name, value in {**usual, **claims}.items() if value is not None})

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
        """Whatever claims these are, with a signature that is right."""
        key = self.keys[-1]
        return jwt.encode(claims, key.private, key.algorithm, {"kid": key.id, **(headers or {})})

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.keys.append(SigningKey(self._algorithm))

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/jwks.json", self._jwks)
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/token", self._token)
        app.router.add_post("/token", self._token_of_client)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port).start()

    async def stop(self) -> None:
        """The key set is not available until it is started again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _discovery(self, _request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.issuer, "jwks_uri": self.jwks_url})

    async def _jwks(self, _request: web.Request) -> web.Response:
        self.requests += 1
        return web.json_response({"keys": [key.public for key in self.keys]})

    async def _token(self, request: web.Request) -> web.Response:
        user, teams = request.query.get("user"), request.query.getall("team", [])
        if not user:
            return web.Response(status=400, text="which user? /token?user=ada&team=team-7\n")
        return web.Response(text=self.token(user, teams))

    async def _token_of_client(self, request: web.Request) -> web.Response:
        """By client credentials; a client's secret is `secret-of-` and its id."""
        form = await request.post()
        client = str(form.get("client_id"))
        if form.get("grant_type") != "client_credentials" or form.get("client_secret") != f"secret-of-{client}":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens_given += 1
        return web.json_response({"access_token": self.token(client), "token_type": "Bearer", "expires_in": HOUR})


@asynccontextmanager
async def issuer(*, algorithm: str = "RS256", audience: str = AUDIENCE) -> AsyncIterator[Issuer]:
    """A started issuer, on the loop of the caller."""
    made = Issuer(algorithm=algorithm, audience=audience)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
