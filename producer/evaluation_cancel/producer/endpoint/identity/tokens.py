"""Verifies bearer tokens. Who asks is then read from the claims (`claims.py`).

Nothing in a token chooses how it is verified: the key determines the algorithms, the issuer's key set (`jwks.py`) the
key, and the settings the issuers. A token is never logged, and errors never quote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from evaluation_cancel.producer.endpoint.identity.claims import (
    Caller,
    Unauthenticated,
    caller_of_claims,
    check_audience,
)
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet
from evaluation_cancel.producer.endpoint.identity.keys import ALGORITHMS, VerificationKey
from evaluation_cancel.producer.endpoint.settings import IssuerSettings

MAX_TOKEN_BYTES: Final = 60_000
"""A token with a thousand teams."""
REQUIRED_CLAIMS: Final = ("exp", "iss")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedIssuer:
    """An issuer of the settings with its keys."""

    settings: IssuerSettings
    keys: KeySet


class Tokens:
    """Verifies tokens of several issuers."""

    def __init__(self, issuers: Mapping[str, TrustedIssuer], *, leeway: float) -> None:
        self._issuers = dict(issuers)
        self._leeway = leeway

    async def caller(self, authorization: Sequence[str]) -> Caller:
        """Who the Authorization headers say asks. Raises Unauthenticated, or KeysUnavailable."""
        token = _bearer(authorization)
        name, key_id, algorithm = _unverified(token)
        try:
            return await self._verified_caller(token, name, key_id, algorithm)
        except Unauthenticated as refused:
            refused.issuer, refused.key_id = name, key_id
            raise

    async def _verified_caller(self, token: str, name: str, key_id: str | None, algorithm: str) -> Caller:
        issuer = self._issuers.get(name)
        if issuer is None:
            raise Unauthenticated("the token's issuer is not one of ours", code="unknown_issuer")
        key = await issuer.keys.key(key_id)
        if key is None:
            raise Unauthenticated("the token's key is not one of its issuer's", code="unknown_key")
        if algorithm not in key.algorithms:
            raise Unauthenticated("the token's algorithm is not one of its key's", code="wrong_algorithm")
        claims = _verified(token, key, algorithm, name, self._leeway)
        check_audience(claims, issuer.settings)
        return caller_of_claims(claims, name, issuer.settings)


def _bearer(authorization: Sequence[str]) -> str:
    if not authorization:
        raise Unauthenticated("a bearer token is needed", code="no_token")
    if len(authorization) > 1:
        raise Unauthenticated("there is more than one Authorization header", code="several_headers")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("a bearer token is needed", code="no_token")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes", code="too_long")
    return token.strip()


def _unverified(token: str) -> tuple[str, str | None, str]:
    """Issuer, key id if any, and algorithm as the token claims them: good for choosing among what we know, no more."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    # Whatever a stranger's bytes do to the parsers (a RecursionError, say), it is the token that is wrong.
    except Exception:  # noqa: BLE001
        raise Unauthenticated("the token cannot be read", code="unreadable") from None
    key_id, algorithm, issuer = header.get("kid"), header.get("alg"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated("the token's algorithm is not accepted", code="wrong_algorithm")
    if not isinstance(key_id, str | None) or not isinstance(issuer, str):
        raise Unauthenticated("the token's iss or kid is no text", code="no_issuer")
    return issuer, key_id, algorithm


def _verified(token: str, key: VerificationKey, algorithm: str, issuer: str, leeway: float) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            issuer=issuer,
            leeway=leeway,
            # The audience and the subject are ours to check: their claims may have other names, and be numbers.
            options={"require": list(REQUIRED_CLAIMS), "verify_aud": False, "verify_sub": False},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("the token has expired", code="expired_token") from None
    except jwt.ImmatureSignatureError:
        raise Unauthenticated("the token is not valid yet", code="not_yet_valid") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthenticated(f"the token has no {error.claim}", code="no_claim") from None
    except jwt.InvalidSignatureError:
        raise Unauthenticated("the token's signature is wrong", code="wrong_signature") from None
    except Exception:  # noqa: BLE001  # as above
        raise Unauthenticated("the token is not valid", code="invalid_token") from None
    return claims
