"""What the service counts and measures, in Prometheus' terms. Labels are few and bounded: never an id or a team."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from evaluation_cancel.consumer.domain.cancellations import Failed, Gone, Outcome, Retry
from evaluation_cancel.consumer.domain.rows import Gauges
from evaluation_cancel.consumer.intake.decide import Decided

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """All metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "evaluation_cancel"
        self._records = Counter(
            f"{prefix}_records_total", "Records read from the commands topic.", registry=self.registry
        )
        self._decisions = Counter(
            f"{prefix}_decisions_total",
            "Commands by what was decided (a rejection by its code).",
            ["decision"],
            registry=self.registry,
        )
        self._attempts = Counter(
            f"{prefix}_teardown_attempts_total",
            "Attempts to take a Job down, by cluster, outcome and code: of an error, or why a stop is presumed.",
            ["cluster", "outcome", "code"],
            registry=self.registry,
        )
        self._attempt_seconds = Histogram(
            f"{prefix}_teardown_attempt_seconds",
            "Duration of one attempt.",
            ["cluster"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Looking metrics up by their labels costs more than counting.
        self._of_attempts = cache(self._attempt_metrics)
        self._restarts = Counter(
            f"{prefix}_loop_restarts_total",
            "Loops that were started again after a fault.",
            ["loop"],
            registry=self.registry,
        )
        self._unreadable = self._gauge(
            "unreadable_partitions",
            "Partitions of the commands topic that stand still in this process; they need a person.",
        )
        self._published = self._gauge("messages_published", "Messages this process has published.")
        self._waiting = Gauge(
            f"{prefix}_waiting",
            "Rows that wait, by where; parked and unclaimed ones need a person.",
            ["where"],
            registry=self.registry,
        )
        self._oldest = self._gauge("oldest_open_cancellation_seconds", "Age of the oldest open cancellation.")

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"evaluation_cancel_{name}", documentation, registry=self.registry)

    def decided(self, decided: Decided, records: int) -> None:
        self._records.inc(records)
        for what, count in decided.counts.items():
            self._decisions.labels(what).inc(count)

    def attempted(self, cluster: str | None, outcome: Outcome, seconds: float) -> None:
        code = outcome.code if isinstance(outcome, Retry | Failed) else ""
        if isinstance(outcome, Gone) and outcome.evidence.doubts:
            code = outcome.evidence.doubts[0]
        name = "gone" if isinstance(outcome, Gone) else type(outcome).__name__.lower()
        counter, duration = self._of_attempts(cluster or "", name, code)
        counter.inc()
        duration.observe(seconds)

    def _attempt_metrics(self, cluster: str, outcome: str, code: str) -> tuple[Counter, Histogram]:
        return self._attempts.labels(cluster, outcome, code), self._attempt_seconds.labels(cluster)

    def restarted(self, loop: str) -> None:
        self._restarts.labels(loop).inc()

    def unreadable(self, partitions: int) -> None:
        """How many partitions stand still because their records cannot be read."""
        self._unreadable.set(partitions)

    def observe(self, gauges: Gauges, published: int) -> None:
        """Takes over what was counted in Postgres."""
        waiting = {
            "open": gauges.open,
            "unclaimed": gauges.unclaimed,
            "cleanups": gauges.cleanups,
            "undecided": gauges.undecided,
            "outbox": gauges.outbox,
            "parked": gauges.parked,
        }
        for where, rows in waiting.items():
            self._waiting.labels(where).set(rows)
        self._oldest.set(gauges.oldest_open_seconds)
        self._published.set(published)
