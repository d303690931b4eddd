"""The endpoint's Prometheus metrics. Labels are few and bounded: never an id, user or team."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PREFIX = "evaluation_cancel_http"


class Metrics:
    """All metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            f"{_PREFIX}_request_seconds",
            "Requests by route and status, with the time until the answer.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(f"{_PREFIX}_requests_in_flight", "Requests without an answer.", registry=self.registry)
        self._waits = Gauge(f"{_PREFIX}_waits", "Requests that wait for an outcome.", registry=self.registry)
        self._unauthenticated = Counter(
            f"{_PREFIX}_unauthenticated_total", "Requests without a good token.", ["code"], registry=self.registry
        )
        self._published = Histogram(
            f"{_PREFIX}_publish_seconds",
            "Commands handed to Kafka, by what came of it.",
            ["outcome"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._polls = Histogram(
            f"{_PREFIX}_poll_seconds",
            "Looks at Postgres for those who wait, by whether it answered.",
            ["answered"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._keys = Counter(
            f"{_PREFIX}_key_fetches_total", "Fetches of issuers' key sets.", ["succeeded"], registry=self.registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).observe(seconds)

    def measure(self, *, in_flight: Callable[[], int], waits: Callable[[], int]) -> None:
        """Sets the functions that give the gauges' values at each scrape."""
        self._in_flight.set_function(in_flight)
        self._waits.set_function(waits)

    def unauthenticated(self, code: str) -> None:
        self._unauthenticated.labels(code).inc()

    def published(self, outcome: str, seconds: float) -> None:
        self._published.labels(outcome).observe(seconds)

    def polled(self, answered: bool, seconds: float) -> None:
        self._polls.labels(str(answered).lower()).observe(seconds)

    def keys_fetched(self, succeeded: bool) -> None:
        self._keys.labels(str(succeeded).lower()).inc()
