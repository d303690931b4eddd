"""Where an issuer's key set comes from: an address, what the issuer's discovery document names, or a file."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import orjson

from evaluation_cancel.producer.endpoint.settings import LOOPBACK_HOSTS, IssuerSettings

MAX_BYTES: Final = 1_000_000
_DISCOVERY: Final = "/.well-known/openid-configuration"


def client_for(name: str, settings: IssuerSettings) -> httpx.AsyncClient:
    """A client with the issuer's authorities. Raises `OSError` for a file that cannot be read."""
    # An issuer on this machine is not behind the proxy that the environment may name.
    local = urlsplit(settings.jwks_url or name).hostname in LOOPBACK_HOSTS
    if settings.jwks_ca_file is None:
        return httpx.AsyncClient(trust_env=not local)
    return httpx.AsyncClient(trust_env=not local, verify=ssl.create_default_context(cafile=settings.jwks_ca_file))


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySource:
    """Of one issuer, whose name is the `iss` of its tokens."""

    name: str
    settings: IssuerSettings
    client: httpx.AsyncClient

    @property
    def described(self) -> str:
        """For log lines."""
        return str(self.settings.jwks_file or self.settings.jwks_url or self.name + _DISCOVERY)

    async def read(self) -> bytes:
        """The document of the key set, of at most a megabyte. Raises whatever went wrong."""
        if self.settings.jwks_file is not None:
            return await asyncio.to_thread(_read_file, self.settings.jwks_file)
        return await self._get(self.settings.jwks_url or await self._discovered())

    async def _discovered(self) -> str:
        document = orjson.loads(await self._get(self.name.rstrip("/") + _DISCOVERY))
        if document.get("issuer") != self.name:
            raise ValueError(f"the discovery document is of the issuer {document.get('issuer')!r}")
        return IssuerSettings.checked_address(str(document["jwks_uri"]))

    async def _get(self, url: str) -> bytes:
        # Unpacked, a small answer could be of any size.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if self.settings.jwks_bearer_file is not None:
            token = await asyncio.to_thread(self.settings.jwks_bearer_file.read_text)
            headers["authorization"] = f"Bearer {token.strip()}"
        async with self.client.stream("GET", url, headers=headers) as response:
            response.raise_for_status()
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is packed, although it was asked for as it is")
            read = bytearray()
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise ValueError("the document is larger than a megabyte")
            return bytes(read)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        read = file.read(MAX_BYTES + 1)
    if len(read) > MAX_BYTES:
        raise ValueError("the key set is larger than a megabyte")
    return read
