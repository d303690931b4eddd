"""A verifier of tokens with an issuer of its own, and a clock for the age of its keys."""

import httpx

from deploy.local.services.issuer import Issuer
from evaluation_cancel.producer.endpoint.identity.claims import Unauthenticated
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, KeyTimes
from evaluation_cancel.producer.endpoint.identity.key_source import KeySource
from evaluation_cancel.producer.endpoint.identity.tokens import Tokens, TrustedIssuer
from evaluation_cancel.producer.endpoint.settings import IssuerSettings

TIMES = KeyTimes(lifetime=300, grace=600, cooldown=5, timeout=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Verifier:
    """Believes the tokens of one issuer, by these settings."""

    def __init__(self, tokens: Issuer, client: httpx.AsyncClient, **settings: object) -> None:
        self.tokens = tokens
        self.clock = Clock()
        self.trusted = trusted = IssuerSettings(
            **{"jwks_url": tokens.jwks_url, "audience": tokens.audience, **settings}
        )
        source = KeySource(name=tokens.issuer, settings=trusted, client=client)
        self.keys = KeySet(source, TIMES, clock=self.clock)
        self.verifier = Tokens({tokens.issuer: TrustedIssuer(settings=trusted, keys=self.keys)}, leeway=30)

    async def believed(self, token: str) -> bool:
        try:
            await self.verifier.caller([f"Bearer {token}"])
        except Unauthenticated:
            return False
        return True
