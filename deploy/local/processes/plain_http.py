"""Clients for plain HTTP on this machine.

httpx reads all certificate authorities anew for each client, which takes 20 ms: polling a part that starts would keep a
core busy. These clients have no certificate authorities and use no HTTPS.
"""

import ssl
from collections.abc import Mapping

import httpx


def plain_client(
    base_url: str = "", *, timeout: float = 10, headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """Without proxies and other settings of the environment."""
    no_authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(
        base_url=base_url, headers=headers, trust_env=False, verify=no_authorities, timeout=timeout
    )


async def succeeds(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        async with plain_client() as client:
            return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
