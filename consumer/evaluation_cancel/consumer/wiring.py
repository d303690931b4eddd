"""Builds the loops of a process from its settings and opened clients, and connects them to each other.

`wire` is the one place that decides which loop nudges which. `app.py` opens the clients and runs the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from evaluation_cancel.consumer.cleanup.loop import Cleanup
from evaluation_cancel.consumer.cleanup.store import PostgresCleanupStore
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.intake.decide import Decided, DecisionService
from evaluation_cancel.consumer.intake.eager_claims import EagerClaims
from evaluation_cancel.consumer.intake.loop import Intake
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from evaluation_cancel.consumer.kubernetes.port import Jobs
from evaluation_cancel.consumer.kubernetes.watch import ClusterWatch, UntilStopped
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.maintenance.late_jobs import LateJobs
from evaluation_cancel.consumer.maintenance.sweep import Reconcile, SweepLimits
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.outbox.ports import EventProducer
from evaluation_cancel.consumer.outbox.relay import Relay, RelayLimits
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.s3.port import Artifacts
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.consumer.settings import Loop as LoopName
from evaluation_cancel.consumer.sql import commands
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.teardown.loop import Teardown
from evaluation_cancel.consumer.teardown.ports import TeardownLimits
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore


def outcome_events(settings: ConsumerSettings) -> OutcomeEvents:
    """The builder of the service's events and dead letters."""
    topics = settings.topics
    return OutcomeEvents(
        events_topic=topics.events, dead_letter_topic=topics.dead_letters, source=settings.event_source
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Clients:
    """The opened clients of other systems. The cleanup and the outbox run only with their client."""

    clusters: Mapping[str, Jobs]
    """Where the teardown works."""
    watched: Mapping[str, KubernetesJobs]
    """The clusters to watch and to sweep for late Jobs."""
    artifacts: Artifacts | None = None
    producer: EventProducer | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wired:
    """The loops of a process."""

    loops: Sequence[tuple[str, Loop]]
    """Names and loops in the order in which they are stopped: first those that bring work, last the outbox."""
    relay: Relay | None
    """Counts the published messages."""
    claims: PostgresCancellationStore | None
    """Holds the claims to release after the stop."""
    unreadable: Callable[[], Sequence[str]]
    """Partitions of the commands topic that stand still here, each with the reason."""


def wire(
    settings: ConsumerSettings, database: Database, metrics: Metrics, clients: Clients, wanted: Collection[LoopName]
) -> Wired:
    """Builds the wanted loops in order of dependency: each one after the loops that it nudges."""
    events = outcome_events(settings)
    loops: list[tuple[str, Loop]] = []
    relay = cleanup = teardown = store = None
    if clients.producer is not None:
        relay = _relay(settings, database, clients.producer)
        loops.append(("outbox", relay))
    if clients.artifacts is not None:
        cleanup = _cleanup(settings, database, events, clients.artifacts, on_ended=_nudge(relay))
        loops.append(("cleanup", cleanup))
    if "teardown" in wanted:
        rules = _teardown_rules(settings)
        store = _cancellation_store(settings, database, events, rules, on_ended=_nudge(relay, cleanup))
        watch_caches = {name: WatchCache() for name in clients.clusters}
        teardown = _teardown(settings, store, clients.clusters, watch_caches, rules=rules, metrics=metrics)
        loops.append(("late-jobs", LateJobs(database=database, clusters=clients.watched)))
        loops += _watches(settings, clients.watched, watch_caches, teardown)
        loops.append(("teardown", teardown))
    eager_claims = EagerClaims(
        worker=settings.worker,
        lease=timedelta(seconds=settings.teardown_lease),
        call_margin=timedelta(seconds=settings.call_timeout),
        supplier=teardown.reservations if teardown is not None else None,
    )
    decide = DecisionService(database, events, eager_claims)
    on_decided = _on_decided(metrics, on_waiting=_nudge(teardown), on_messages=_nudge(relay))
    if "reconcile" in wanted:
        limits = SweepLimits(inbox_days=settings.inbox_days, outbox_days=settings.outbox_days)
        loops.append(("reconcile", Reconcile(database=database, decide=decide, on_decided=on_decided, limits=limits)))
    reader = _reader(settings, database)
    if "intake" in wanted:
        intake = _intake(settings, reader, events, decide, eager_claims, on_decided=on_decided)
        loops.append(("intake", intake))
    return Wired(loops=loops[::-1], relay=relay, claims=store, unreadable=reader.unreadable.described)


def _nudge(*loops: Loop | None) -> Callable[[], None]:
    """A callback that nudges those of the loops that run in this process."""

    def nudge() -> None:
        for loop in loops:
            if loop is not None:
                loop.nudge()

    return nudge


def _on_decided(
    metrics: Metrics, *, on_waiting: Callable[[], None], on_messages: Callable[[], None]
) -> Callable[[Decided, int], None]:
    """A callback for each recorded batch: counts it, and nudges the loops that have work now."""

    def on_decided(decided: Decided, records: int) -> None:
        metrics.decided(decided, records)
        if decided.waiting:
            on_waiting()
        if decided.messages:
            on_messages()

    return on_decided


def _reader(settings: ConsumerSettings, database: Database) -> KafkaCommandReader:
    topic = settings.topics.commands

    async def saved_offsets() -> dict[int, int]:
        async with database.connection() as tx:
            return await commands.saved_offsets(tx, topic)

    return KafkaCommandReader(
        topic=topic,
        group_id=settings.group_id,
        instance_id=settings.group_instance_id,
        client_settings=settings.kafka_client,
        isolation_level=settings.kafka_isolation_level,
        batch=settings.intake_batch,
        poll_ms=200,
        saved_offsets=saved_offsets,
    )


def _intake(
    settings: ConsumerSettings,
    reader: KafkaCommandReader,
    events: OutcomeEvents,
    decide: DecisionService,
    eager_claims: EagerClaims,
    *,
    on_decided: Callable[[Decided, int], None],
) -> Intake:
    return Intake(
        reader=reader,
        decide=decide,
        events=events,
        every_team_sources=settings.every_team_sources,
        accept_bare=settings.accept_bare,
        on_decided=on_decided,
        wait_for_capacity=eager_claims.wait_for_capacity,
    )


def _teardown_rules(settings: ConsumerSettings) -> TeardownRules:
    return TeardownRules(
        job_create_grace=settings.job_create_grace,
        refusal_patience=settings.refusal_patience,
        controller_uid_label=settings.controller_uid_label,
        evaluation_label=settings.evaluation_label,
        presume_stopped_after=settings.presume_stopped_after,
        insist_on_proof=settings.insist_on_proof,
        delete_labelled_pods=settings.delete_labelled_pods,
    )


def _cancellation_store(
    settings: ConsumerSettings,
    database: Database,
    events: OutcomeEvents,
    rules: TeardownRules,
    *,
    on_ended: Callable[[], None],
) -> PostgresCancellationStore:
    return PostgresCancellationStore(
        database,
        events,
        call_margin=timedelta(seconds=settings.call_timeout),
        cleanup_deadline=settings.cleanup_time,
        on_ended=on_ended,
        rules=rules,
    )


def _teardown(
    settings: ConsumerSettings,
    store: PostgresCancellationStore,
    clusters: Mapping[str, Jobs],
    watch_caches: Mapping[str, WatchCache],
    *,
    rules: TeardownRules,
    metrics: Metrics,
) -> Teardown:
    lease = timedelta(seconds=settings.teardown_lease)
    return Teardown(
        store=store,
        clusters=clusters,
        watch_caches=watch_caches,
        worker=settings.worker,
        rules=rules,
        limits=TeardownLimits(calls_in_flight=settings.calls_in_flight, lease=lease),
        observe=metrics.attempted,
    )


def _watches(
    settings: ConsumerSettings,
    clusters: Mapping[str, KubernetesJobs],
    watch_caches: Mapping[str, WatchCache],
    teardown: Teardown,
) -> list[tuple[str, Loop]]:
    loops: list[tuple[str, Loop]] = []
    for name, jobs in clusters.items():
        watch = ClusterWatch(
            jobs.calls,
            cluster=name,
            watch_cache=watch_caches[name],
            on_change=teardown.on_change,
            on_connected=partial(teardown.on_reachable, name),
            namespaces=settings.clusters[name].namespaces,
            label=settings.evaluation_label,
        )
        loops.append((f"watch:{name}", UntilStopped(watch)))
    return loops


def _cleanup(
    settings: ConsumerSettings,
    database: Database,
    events: OutcomeEvents,
    artifacts: Artifacts,
    *,
    on_ended: Callable[[], None],
) -> Cleanup:
    store = PostgresCleanupStore(database, events, call_margin=timedelta(seconds=30), on_ended=on_ended)
    return Cleanup(store=store, artifacts=artifacts, worker=settings.worker)


def _relay(settings: ConsumerSettings, database: Database, producer: EventProducer) -> Relay:
    limits = RelayLimits(
        batch=settings.outbox_batch,
        lease=timedelta(seconds=settings.outbox_lease),
        sending=timedelta(seconds=settings.publish_timeout),
    )
    return Relay(database=database, producer=producer, holder=settings.worker, limits=limits)
