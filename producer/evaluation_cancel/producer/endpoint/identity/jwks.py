"""The public keys of one issuer: fetched on demand, cached, one fetch at a time.

Keys come only from where the settings say (`key_source.py`). Key headers of a token (jwk, jku, x5u) are ignored.
`tokens.py` chooses the key that verifies a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from evaluation_cancel.producer.endpoint.identity.key_source import KeySource
from evaluation_cancel.producer.endpoint.identity.keys import Keys, VerificationKey, usable_keys

_log = structlog.get_logger(__name__)
EARLY: Final = 0.8
"""Of their lifetime: keys are then fetched anew beside the requests, so that none has to wait for it."""


class KeysUnavailable(Exception):  # noqa: N818 - a state of the world
    """The key set is not available now, so no token can be verified."""


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
        source: KeySource,
        times: KeyTimes,
        *,
        fetched: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetched` is told whether a fetch went well."""
        self._source = source
        self._times = times
        self._fetched = fetched
        self._clock = clock
        self._keys = Keys({})
        self._at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        """Whether the last fetch did."""
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> VerificationKey | None:
        """The key of that id, None if the issuer has none. Raises KeysUnavailable when that cannot be known."""
        if self._age() > self._times.lifetime * EARLY or self._keys.find(key_id) is None:
            self._begin_fetch()
        if self._fetching is not None and not self._can_go_on(key_id):
            # A caller that gives up must not cancel the fetch for the others.
            await asyncio.shield(self._fetching)
        known = self._keys.find(key_id)
        # Old keys stay good for a while; that an old set lacks a key says nothing, nor does one that may be old.
        kept = self._times.lifetime + (self._times.grace if known is not None else 0)
        if self._age() > kept or (known is None and self._failed):
            raise KeysUnavailable
        return known

    def _can_go_on(self, key_id: str | None) -> bool:
        """Whether the key is good meanwhile: who has a known one does not wait for an issuer that is away or slow."""
        kept = self._times.lifetime + (self._times.grace if self._failed else 0)
        return self._keys.find(key_id) is not None and self._age() <= kept

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
                self._keys = usable_keys(await self._source.read())
        # Whatever an issuer sends, it must not be our fault, nor be mistaken for a caller's.
        except Exception as error:  # noqa: BLE001
            _log.warning(
                "The key set of an issuer could not be fetched.",
                action="keys_unavailable",
                source=self._source.described,
                error=f"{type(error).__name__}: {error}",
            )
            return False
        self._at = self._clock()
        return True
