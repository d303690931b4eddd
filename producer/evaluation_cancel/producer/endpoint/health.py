"""/healthz, /readyz and /metrics: without a token, and without any tenant's data.

Ready means that the endpoint can take commands: it has reached Kafka once, and Postgres does not refuse it for good.
A later outage of either is answered request by request, so that it does not take all replicas away at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from evaluation_cancel.producer.endpoint.store import Store, StoreUnavailable
from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.producer.publisher import Publisher

_log = structlog.get_logger(__name__)
_PAUSE = 2.0


class Readiness:
    """What is known of the stores since the start."""

    def __init__(self, publisher: Publisher, store: Store, *, is_stopping: Callable[[], bool]) -> None:
        self._publisher = publisher
        self._store = store
        self._is_stopping = is_stopping
        self._kafka = "not reached yet"
        self._postgres = "not reached yet"
        self._refused = False

    def problem(self) -> str | None:
        if self._is_stopping():
            return "stopping"
        if self._kafka != "reached":
            return "kafka"
        return "postgres" if self._refused else None

    async def reach_kafka(self) -> None:
        """Connects before the first command needs it; ends when that worked."""
        while self._kafka != "reached":
            try:
                await self._publisher.start()
            except KafkaUnreachable as error:
                _log.warning("Kafka is not reached yet.", action="kafka_unreachable", error=str(error))
            else:
                self._kafka = "reached"

    async def reach_postgres(self) -> None:
        """The same; a refusal (a wrong login, a schema that is not there) keeps this replica from being ready."""
        while self._postgres != "reached":
            try:
                await self._store.ping()
            except StoreUnavailable as error:
                self._refused = error.misconfigured
                _log.warning("Postgres is not reached yet.", action="postgres_unreachable", error=str(error))
                await asyncio.sleep(_PAUSE)
            else:
                self._postgres, self._refused = "reached", False

    def states(self) -> dict[str, str]:
        return {"kafka": self._kafka, "postgres": "refuses us" if self._refused else self._postgres}


def health_routes(readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        problem = readiness.problem()
        status = "ok" if problem is None else f"not ready: {problem}"
        return JSONResponse({"status": status, **readiness.states()}, 200 if problem is None else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
