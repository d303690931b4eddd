"""Verifies bearer tokens and extracts the caller: user or service, and teams.

Nothing in a token chooses how it is verified: the key determines the algorithm, the issuer's key set (`jwks.py`) the
key, and the settings the issuers. A token is never logged, and errors never quote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from pydantic import ValidationError

from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, VerificationKey
from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from evaluation_cancel.schemas.commands import RequestedBy

ALGORITHMS: Final = frozenset({"RS256", "ES256"})
MAX_TOKEN_BYTES: Final = 16_384
REQUIRED_CLAIMS: Final = ("exp", "iat", "iss", "sub")


class Unauthenticated(Exception):  # noqa: N818 - an answer, not a fault
    """No token, or one that is not good."""

    def __init__(self, problem: str, *, code: str = "invalid_token") -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = code
        """For metrics: no_token, expired_token or invalid_token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks, as the issuer vouches for it."""

    issuer: str
    subject: str
    requested_by: RequestedBy

    @property
    def teams(self) -> tuple[str, ...]:
        return self.requested_by.team_ids


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
        issuer = self._issuers.get(name)
        if issuer is None:
            raise Unauthenticated("the token's issuer is not one of ours")
        key = await issuer.keys.key(key_id)
        if key is None:
            raise Unauthenticated("the token's key is not one of its issuer's")
        if key.algorithm != algorithm:
            raise Unauthenticated("the token's algorithm is not that of its key")
        claims = _verified(token, key, name, self._leeway)
        _check_audience(claims, issuer.settings)
        return _caller(claims, name, issuer.settings)


def _bearer(authorization: Sequence[str]) -> str:
    if not authorization:
        raise Unauthenticated("a bearer token is needed", code="no_token")
    if len(authorization) > 1:
        raise Unauthenticated("there is more than one Authorization header")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("a bearer token is needed", code="no_token")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated("the token is too long")
    return token.strip()


def _unverified(token: str) -> tuple[str, str, str]:
    """Issuer, key id and algorithm as the token claims them: good for choosing among what we know, for nothing else."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    # Whatever a stranger's bytes do to the parsers (a RecursionError, say), it is the token that is wrong.
    except Exception:  # noqa: BLE001
        raise Unauthenticated("the token cannot be read") from None
    key_id, algorithm, issuer = header.get("kid"), header.get("alg"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthenticated("the token's algorithm is not accepted")
    if not isinstance(key_id, str) or not isinstance(issuer, str):
        raise Unauthenticated("the token does not name its issuer and key")
    return issuer, key_id, algorithm


def _verified(token: str, key: VerificationKey, issuer: str, leeway: float) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            issuer=issuer,
            leeway=leeway,
            # The audience is ours to check, as its claim may have another name.
            options={"require": list(REQUIRED_CLAIMS), "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("the token has expired", code="expired_token") from None
    except jwt.ImmatureSignatureError:
        raise Unauthenticated("the token is not valid yet") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthenticated(f"the token has no {error.claim}") from None
    except jwt.InvalidSignatureError:
        raise Unauthenticated("the token's signature is wrong") from None
    except Exception:  # noqa: BLE001  # as above
        raise Unauthenticated("the token is not valid") from None
    return claims


def _check_audience(claims: Mapping[str, Any], settings: IssuerSettings) -> None:
    claimed = _strings(claims.get(settings.audience_claim))
    if not claimed:
        raise Unauthenticated("the token names no audience")
    if not set(claimed) & set(settings.audience):
        raise Unauthenticated("the token is meant for another audience")


def _caller(claims: Mapping[str, Any], issuer: str, settings: IssuerSettings) -> Caller:
    user = _at(claims, settings.user_claim)
    teams = _at(claims, settings.teams_claim)
    listed = _strings(teams)
    if listed is None and teams is not None:
        raise Unauthenticated("the token's teams are no list of strings")
    try:
        requested_by = RequestedBy(kind=settings.kind, id=user, team_ids=tuple(dict.fromkeys(listed or ())))
    except ValidationError as errors:
        field = errors.errors()[0]["loc"][0]
        what = "user" if field == "id" else "teams"
        raise Unauthenticated(f"the token's {what} cannot be used: {errors.errors()[0]['msg']}") from None
    return Caller(issuer=issuer, subject=_subject(claims), requested_by=requested_by)


def _subject(claims: Mapping[str, Any]) -> str:
    """The subject takes part in ids and is a key of ours, so that it is held to the rules of ids."""
    try:
        return RequestedBy(kind="user", id=claims["sub"]).id
    except ValidationError:
        raise Unauthenticated("the token's sub cannot be used") from None


def _at(claims: Mapping[str, Any], way: Sequence[str]) -> Any:
    value: Any = claims
    for name in way:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _strings(value: object) -> list[str] | None:
    """A string or a list of strings as a list; None for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None
