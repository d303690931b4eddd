"""Wraps every request: one log line, its metrics, and the count of requests in flight, which a stop waits for.

A log line has no token, body or query, and no path part longer than any of ours, because that may be a token in the
wrong place. While stopping, new requests get 503.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evaluation_cancel.producer.endpoint.metrics import Metrics
from evaluation_cancel.producer.endpoint.server.limits import respond

_log = structlog.get_logger(__name__)
CLIENT_GONE: Final = 499
_LONGEST_PATH: Final = 200
_LONGEST_PART: Final = 47
"""`urn:uuid:{…}` is the longest of a path of ours; no token is so short."""
_WATCHED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for every few seconds by machines: not logged, and answered while stopping."""


class Traffic:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self.stopping = False
        self.in_flight = 0
        self._none_left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] in _WATCHED:
            await self._app(scope, receive, send)
            return
        if self.stopping:
            elsewhere = {"Retry-After": "1", "connection": "close"}
            await respond(send, 503, "This replica is stopping; repeat the request.", elsewhere)
            return
        await self._observed(scope, receive, send)

    async def none_left(self, within: float) -> bool:
        """Whether all requests in hand were answered in time."""
        self._none_left.clear()
        if self.in_flight:
            try:
                async with asyncio.timeout(within):
                    await self._none_left.wait()
            except TimeoutError:
                return False
        return True

    async def _observed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.stopping:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        self.in_flight += 1
        try:
            await self._app(scope, receive, noting)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._none_left.set()
            self._tell(scope, status, time.monotonic() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.answered(route, status, seconds)
        told: dict[str, Any] = scope.get("state", {}).get("told", {})
        _log.info(
            "Answered a request.",
            action="request",
            method=scope["method"][:20],
            path=_told(scope["path"]),
            status=status,
            seconds=round(seconds, 4),
            **told,
        )


def _told(path: str) -> str:
    return "/".join(part if len(part) <= _LONGEST_PART else "…" for part in path.split("/"))[:_LONGEST_PATH]
