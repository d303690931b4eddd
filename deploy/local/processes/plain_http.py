"""Clients for plain HTTP on this machine.

httpx reads all certificate authorities anew for each client, which takes it 20 ms: whoever asks again and again
whether a part answers would keep a core busy while the part starts. These clients trust nobody and speak no HTTPS.
"""

import ssl
from collections.abc import Mapping

import httpx


def plain_client(
    base_url: str = "", *, timeout: float = 10, headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """Without proxies and other settings of the environment."""
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False, verify=nobody, timeout=timeout)


async def succeeds(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        async with plain_client() as client:
            return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
