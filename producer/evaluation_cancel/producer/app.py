"""Runs the HTTP endpoint: makes its parts from the settings, connects them, and closes them in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from fastapi import FastAPI

from evaluation_cancel.producer.endpoint.cancel import CancelEvaluations
from evaluation_cancel.producer.endpoint.documents import document
from evaluation_cancel.producer.endpoint.errors import answer_errors
from evaluation_cancel.producer.endpoint.health import Readiness, health_routes
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, KeyTimes
from evaluation_cancel.producer.endpoint.identity.key_source import KeySource, client_for
from evaluation_cancel.producer.endpoint.identity.rates import Rates
from evaluation_cancel.producer.endpoint.identity.tokens import Tokens, TrustedIssuer
from evaluation_cancel.producer.endpoint.metrics import Metrics
from evaluation_cancel.producer.endpoint.preferences import preference
from evaluation_cancel.producer.endpoint.routes import router
from evaluation_cancel.producer.endpoint.server.limits import RequestLimits
from evaluation_cancel.producer.endpoint.server.run import serve
from evaluation_cancel.producer.endpoint.server.traffic import Traffic
from evaluation_cancel.producer.endpoint.settings import EndpointSettings
from evaluation_cancel.producer.endpoint.store import Store, StoreAccess, open_store
from evaluation_cancel.producer.endpoint.waiting import Waiting, WaitLimits
from evaluation_cancel.producer.publisher import Publisher

_log = structlog.get_logger(__name__)
TITLE = "Cancelling evaluations"


def application() -> FastAPI:
    """The operations and their document, without anything behind them."""
    app = FastAPI(title=TITLE, version="1", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(router)
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


async def run(settings: EndpointSettings, *, listening: Callable[[int], None] = lambda _port: None) -> None:
    """The service, until a signal. `listening` is told the port."""

    def listens(port: int) -> None:
        _log.info("The endpoint listens.", action="started", host=settings.endpoint_host, port=port)
        listening(port)

    async with endpoint(settings) as made:
        await serve(made.app, settings, listening=listens, end_waits_by=made.waiting.end_by)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """What a server needs of it."""

    app: Traffic
    waiting: Waiting


@asynccontextmanager
async def endpoint(settings: EndpointSettings) -> AsyncIterator[Endpoint]:
    """The application with everything behind it. Neither Kafka nor Postgres needs to be there."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        store = await _store(settings, stack)
        publisher = _publisher(settings)
        stack.push_async_callback(publisher.stop)
        waiting = _waiting(settings, store, metrics)
        stack.push_async_callback(waiting.close)
        app = application()
        traffic = Traffic(_limited(app, settings), metrics)
        metrics.measure(in_flight=lambda: traffic.in_flight, waits=lambda: waiting.count)
        app.state.tokens = await _tokens(settings, metrics, stack)
        app.state.rates = Rates(per_second=settings.endpoint_requests_per_second, burst=settings.endpoint_burst)
        app.state.store = store
        app.state.source = settings.endpoint_source
        app.state.preference = partial(
            preference, default_wait=settings.endpoint_default_wait, longest_wait=settings.endpoint_longest_wait
        )
        app.state.cancel = CancelEvaluations(
            publisher, waiting, slow_answer=settings.endpoint_slow_answer, published=metrics.published
        )
        readiness = Readiness(publisher, store, is_stopping=lambda: traffic.stopping)
        app.include_router(health_routes(readiness, metrics.registry))
        answer_errors(app, metrics)
        for work in (readiness.reach_kafka(), readiness.reach_postgres()):
            stack.callback(asyncio.create_task(work).cancel)
        yield Endpoint(app=traffic, waiting=waiting)


async def _store(settings: EndpointSettings, stack: AsyncExitStack) -> Store:
    store = await open_store(
        StoreAccess(
            login=settings.postgres_login(),
            pool_size=settings.endpoint_postgres_pool_size,
            timeout=settings.endpoint_postgres_timeout,
            statement_cache_size=settings.endpoint_postgres_statement_cache_size,
            startup_parameters=settings.endpoint_postgres_startup_parameters,
        )
    )
    stack.push_async_callback(store.close)
    return store


def _publisher(settings: EndpointSettings) -> Publisher:
    return Publisher(
        client=settings.kafka_client(),
        source=settings.endpoint_source,
        topics=settings.topics,
        publish_timeout=settings.endpoint_publish_timeout,
        connect_timeout=settings.connect_timeout,
        stop_timeout=settings.stop_timeout,
    )


def _waiting(settings: EndpointSettings, store: Store, metrics: Metrics) -> Waiting:
    limits = WaitLimits(
        waits=settings.endpoint_waits,
        waits_per_caller=settings.endpoint_waits_per_caller,
        shortest_poll=settings.endpoint_shortest_poll,
        longest_poll=settings.endpoint_longest_poll,
    )
    return Waiting(store, settings.endpoint_source, limits, polled=metrics.polled)


async def _tokens(settings: EndpointSettings, metrics: Metrics, stack: AsyncExitStack) -> Tokens:
    times = KeyTimes(
        lifetime=settings.endpoint_keys_lifetime,
        grace=settings.endpoint_keys_grace,
        cooldown=settings.endpoint_keys_cooldown,
        timeout=settings.endpoint_keys_timeout,
    )
    issuers: dict[str, TrustedIssuer] = {}
    for name, issuer in settings.endpoint_issuers.items():
        client = await stack.enter_async_context(client_for(name, issuer))
        source = KeySource(name=name, settings=issuer, client=client)
        keys = KeySet(source, times, fetched=metrics.keys_fetched)
        issuers[name] = TrustedIssuer(settings=issuer, keys=keys)
    return Tokens(issuers, leeway=settings.endpoint_leeway)


def _limited(app: FastAPI, settings: EndpointSettings) -> RequestLimits:
    return RequestLimits(
        app,
        header_bytes=settings.endpoint_header_bytes,
        body_bytes=settings.endpoint_body_bytes,
        body_seconds=settings.endpoint_client_timeout,
    )
