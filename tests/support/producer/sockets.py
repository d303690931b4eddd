"""A plain connection, to send bytes that no HTTP client sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        """Read the status of the next answer. 0: the connection was closed without an answer."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                line = await self.reader.readline()
                return int(line.split()[1]) if line else 0
        return 0

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Connection]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Connection(reader=reader, writer=writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def head(method: str, path: str, **headers: str) -> bytes:
    """The head of a request. Underscores in the names of headers become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: test", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
