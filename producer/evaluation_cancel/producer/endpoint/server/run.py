"""Runs the application in uvicorn: one process, stopped by a signal after waiting callers have their answers."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from evaluation_cancel.producer.endpoint.server.protocol import impatient_protocol
from evaluation_cancel.producer.endpoint.server.traffic import Traffic
from evaluation_cancel.producer.endpoint.settings import EndpointSettings

_log = structlog.get_logger(__name__)
_WRITING: float = 3.0
"""Seconds for answers that are on their way when the waits are over."""
_KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than the 60 s of most proxies, or one may send a request down a
connection that is being closed here, and its caller gets a 502."""
_OTHER_FILES = 200
"""Open files beside the connections of clients: Kafka, Postgres, issuers, libraries."""


class _Server(uvicorn.Server):
    """Leaves signals to us, and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening(self.servers[0].sockets[0].getsockname()[1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    traffic: Traffic,
    settings: EndpointSettings,
    *,
    listening: Callable[[int], None],
    end_waits_by: Callable[[float], None],
) -> None:
    """Until SIGTERM or Ctrl-C. The second signal ends it at once."""
    _allow_files(settings.endpoint_connections + _OTHER_FILES)
    signals = _signals()
    server = _Server(_config(traffic, settings), listening)
    serving = asyncio.ensure_future(server.serve())
    told = asyncio.ensure_future(signals.get())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        _log.info("Asked to stop: no more is taken in.", action="stopping", in_flight=traffic.in_flight)
        traffic.stopping = True
        end_waits_by(time.monotonic() + settings.endpoint_stop_timeout)
        longest = max(settings.endpoint_stop_timeout, settings.endpoint_publish_timeout) + _WRITING
        answered = asyncio.ensure_future(traffic.none_left(longest))
        again = asyncio.ensure_future(signals.get())
        await asyncio.wait({answered, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not (answered.done() and answered.result()):
            _log.warning("Not all requests were answered.", action="stop_cut_short", in_flight=traffic.in_flight)
        server.should_exit = True
    told.cancel()
    await serving
    _log.info("Stopped.", action="stopped")


def _allow_files(wanted: int) -> None:
    """The usual soft limit of 1024 would be met long before ours, and connections would hang instead of getting 503."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("Open files are limited below the connections.", action="few_files", allowed=allowed)


def _signals() -> asyncio.Queue[int]:
    received: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received.put_nowait, number)
    return received


def _config(app: ASGIApp, settings: EndpointSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.endpoint_host,
        port=settings.endpoint_port,
        http=impatient_protocol(settings.endpoint_client_timeout),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here depends on the client's address, so that no header may set it.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        limit_concurrency=settings.endpoint_connections,
        timeout_graceful_shutdown=int(_WRITING),
        h11_max_incomplete_event_size=settings.endpoint_header_bytes * 2,
    )
