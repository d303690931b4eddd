"""Limits a request before any other code reads it: the size of its headers and body, and the body's time.

An ASGI middleware. `protocol.py` limits the time for headers, `endpoint/identity/rates.py` the number of requests.
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CLOSE: Final = {"connection": "close"}
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


class RequestLimits:
    """Refuses headers and bodies that are too large (431, 413) or too slow (408)."""

    def __init__(self, app: ASGIApp, *, header_bytes: int, body_bytes: int, body_seconds: float) -> None:
        self._app = app
        self._header_bytes = header_bytes
        self._body_bytes = body_bytes
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._header_bytes:
            await respond(send, 431, "The headers are too large")
            return
        if {name for name, _ in scope["headers"]} >= _LENGTHS:
            # A proxy might believe the one and we the other, and what follows would be taken for a request.
            await respond(send, 400, "The body has two lengths", _CLOSE)
            return
        declared = [value for name, value in scope["headers"] if name == b"content-length"]
        if declared and int(declared[0]) > self._body_bytes:  # h11 has checked that it is a number
            await respond(send, 413, "The body is too large")
            return
        await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._body_seconds
        size, complete = 0, False

        async def bounded() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()  # only the client's going away can come now
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The body did not arrive in time", headers=_CLOSE) from None
            size += len(message.get("body", b""))
            if size > self._body_bytes:
                raise HTTPException(413, "The body is too large")
            complete = not message.get("more_body", False)
            return message

        return bounded


async def respond(send: Send, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
    """A whole response from a middleware."""
    body = orjson.dumps({"detail": detail})
    sent = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
