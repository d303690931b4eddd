"""Access tokens for Kafka's OAUTHBEARER, by OpenID Connect's client credentials (RFC 6749, section 4.4).

aiokafka asks for a token for each connection. One is used until four fifths of its life are over.
"""

import asyncio
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

_TIMEOUT: Final = 10.0
"""Seconds for the issuer's answer."""
_USED_SHARE: Final = 0.8
_SHORT_LIFE: Final = 60.0
"""Seconds of an issuer that does not say how long its tokens live."""
_SHOWN: Final = 200


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Fetches tokens as one client. One for each Kafka client."""

    def __init__(
        self,
        *,
        url: str,
        client_id: str,
        client_secret: Callable[[], str],
        scope: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client_secret` is called for each token, so that it may come from a file that changes."""
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._clock = clock
        self._held = ""
        self._good_until = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """A token that is good now. Raises aiokafka's error with the issuer's words, but not the secret."""
        async with self._asking:
            if not self._held or self._clock() >= self._good_until:
                begun = self._clock()
                self._held, lifetime = await asyncio.to_thread(self._ask)
                self._good_until = begun + _USED_SHARE * lifetime
            return self._held

    def _ask(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials", "client_id": self._client_id}
        if self._scope is not None:
            form["scope"] = self._scope
        try:
            form["client_secret"] = self._client_secret()
            request = urllib.request.Request(self._url, urllib.parse.urlencode(form).encode())  # noqa: S310  # checked
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310  # by the settings
                said = json.loads(answer.read())
            return str(said["access_token"]), float(said.get("expires_in") or _SHORT_LIFE)
        except urllib.error.HTTPError as error:
            words = error.read(_SHOWN).decode(errors="replace")
            raise KafkaConnectionError(f"the issuer {self._url} answers {error.code}: {words}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KafkaConnectionError(
                f"the issuer {self._url} gives no token: {type(error).__name__}: {error}"
            ) from None
