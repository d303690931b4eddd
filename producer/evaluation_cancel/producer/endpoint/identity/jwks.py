"""The public keys of one issuer, from its JWKS: fetched on demand, cached, one fetch at a time.

Keys come only from the address in the settings. Key headers of a token (jwk, jku, x5u) are ignored. `tokens.py` chooses
the key that verifies a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
import orjson
import structlog

_log = structlog.get_logger(__name__)
MAX_BYTES: Final = 1_000_000
SHORTEST_RSA_BITS: Final = 2048
EARLY: Final = 0.8
"""Of their lifetime: keys are then fetched anew beside the requests, so that none has to wait for it."""


class KeysUnavailable(Exception):  # noqa: N818 - a state of the world
    """The key set is not available now, so no token can be verified."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationKey:
    """A key with the one algorithm it is for, which is never the token's choice."""

    algorithm: str
    key: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyTimes:
    """How long keys are kept, in seconds; see the settings of these names."""

    lifetime: float
    grace: float
    cooldown: float
    timeout: float


class KeySet:
    """The keys of one issuer by id."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        times: KeyTimes,
        *,
        fetched: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetched` is told whether a fetch went well."""
        self._url = url
        self._client = client
        self._times = times
        self._fetched = fetched
        self._clock = clock
        self._keys: dict[str, VerificationKey] = {}
        self._at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        """Whether the last fetch did."""
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> VerificationKey | None:
        """The key of that id, None if the issuer has none. Raises KeysUnavailable when that cannot be known."""
        if self._age() > self._times.lifetime * EARLY or key_id not in self._keys:
            self._begin_fetch()
        if self._fetching is not None and not self._can_go_on(key_id):
            # A caller that gives up must not cancel the fetch for the others.
            await asyncio.shield(self._fetching)
        known = self._keys.get(key_id)
        # Old keys stay good for a while; that an old set lacks a key says nothing, nor does one that may be old.
        kept = self._times.lifetime + (self._times.grace if known is not None else 0)
        if self._age() > kept or (known is None and self._failed):
            raise KeysUnavailable
        return known

    def _can_go_on(self, key_id: str) -> bool:
        """Whether the key is good meanwhile: who has a known one does not wait for an issuer that is away or slow."""
        kept = self._times.lifetime + (self._times.grace if self._failed else 0)
        return key_id in self._keys and self._age() <= kept

    def _begin_fetch(self) -> None:
        """Unless one is under way or was tried lately: strangers' key ids must not become a flood."""
        if self._fetching is None and not self._tried_lately():
            self._fetching = asyncio.create_task(self._fetch_now())

    def _age(self) -> float:
        return float("inf") if self._at is None else self._clock() - self._at

    def _tried_lately(self) -> bool:
        return self._tried_at is not None and self._clock() - self._tried_at < self._times.cooldown

    async def _fetch_now(self) -> None:
        self._failed = not await self._fetched_anew()
        self._fetched(not self._failed)
        self._tried_at = self._clock()
        self._fetching = None

    async def _fetched_anew(self) -> bool:
        try:
            async with asyncio.timeout(self._times.timeout):
                self._keys = _usable(await self._read())
        # Whatever an issuer sends, it must not be our fault, nor be mistaken for a caller's.
        except Exception as error:  # noqa: BLE001
            _log.warning(
                "The key set of an issuer could not be fetched.",
                action="keys_unavailable",
                url=self._url,
                error=f"{type(error).__name__}: {error}",
            )
            return False
        self._at = self._clock()
        return True

    async def _read(self) -> bytes:
        async with self._client.stream("GET", self._url, headers={"accept": "application/json"}) as response:
            response.raise_for_status()
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise ValueError("the key set is larger than a megabyte")
            return bytes(read)


def _usable(document: bytes) -> dict[str, VerificationKey]:
    """The keys that we can verify with; what else is in the set is left alone."""
    content = orjson.loads(document)
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise ValueError("not a JWK set")  # noqa: TRY004  # a document is wrong, not a type
    keys: dict[str, VerificationKey] = {}
    for entry in content["keys"]:
        key = _key(entry)
        if key is not None:
            keys[entry["kid"]] = key
    return keys


def _key(entry: object) -> VerificationKey | None:
    """An RSA key for RS256 or a P-256 key for ES256, to be used for signatures; None for any other."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    if "d" in entry or (algorithm == "ES256" and entry.get("crv") != "P-256"):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError):
        return None
    if algorithm == "RS256" and key.key_size < SHORTEST_RSA_BITS:
        return None
    return VerificationKey(algorithm=algorithm, key=key)
