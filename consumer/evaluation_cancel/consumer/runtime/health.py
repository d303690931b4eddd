"""Serves /healthz, /readyz and /metrics over HTTP, without a token and without data of any tenant.

`/healthz`: every loop makes progress; otherwise the process needs a restart. `/readyz`: Postgres takes writes and its
schema is this version's. Both name partitions that stand still because their records cannot be read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from evaluation_cancel.consumer.domain.errors import Refusal

_log = structlog.get_logger(__name__)


class HealthServer:
    """Serves until closed. `standing_still` names loops without progress; `not_ready` returns the problem, if any."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        standing_still: Callable[[], Sequence[str]],
        not_ready: Callable[[], Awaitable[str | None]],
        before_metrics: Callable[[], Awaitable[None]],
        unreadable: Callable[[], Sequence[str]],
    ) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._standing_still = standing_still
        self._not_ready = not_ready
        self._before_metrics = before_metrics
        self._unreadable = unreadable
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Starts the server and returns its port, which the system chooses if the configured port is 0.

        Raises `Refusal` for an address that cannot be listened on.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            where = f"{self._host}:{self._port}"
            raise Refusal(
                "port_unusable", f"HTTP_HOST and HTTP_PORT: cannot listen on {where}: {error.strerror}"
            ) from None
        port: int = self._runner.addresses[0][1]
        _log.info("Health and metrics are served.", action="http_started", host=self._host, port=port)
        return port

    async def close(self) -> None:
        """Stops the server."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        standing = self._standing_still()
        if standing:
            return web.json_response({"status": "standing still", "loops": list(standing)}, status=503)
        return self._ok()

    async def _readyz(self, _request: web.Request) -> web.Response:
        problem = await self._not_ready()
        if problem is not None:
            return web.json_response({"status": "not ready", "problem": problem}, status=503)
        return self._ok()

    def _ok(self) -> web.Response:
        """Other partitions are read, so those that are not are told and change no status."""
        unreadable = list(self._unreadable())
        return web.json_response({"status": "ok"} | ({"unreadable": unreadable} if unreadable else {}))

    async def _metrics(self, _request: web.Request) -> web.Response:
        with suppress(Exception):  # without Postgres, the process's own counters are still served
            await self._before_metrics()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
