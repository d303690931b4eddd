"""Makes the loops of a process from its settings and wires them to each other.

Which of them run together, and their start and end, is `app.py`'s business; what each does is in the file of its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial

from evaluation_cancel.consumer.cleanup.loop import Cleanup
from evaluation_cancel.consumer.cleanup.store import PostgresCleanupStore
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.intake.decide import Decided, DecisionService
from evaluation_cancel.consumer.intake.eager_claims import EagerClaims
from evaluation_cancel.consumer.intake.loop import Intake
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.kubernetes import connect as kubernetes_connection
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from evaluation_cancel.consumer.kubernetes.port import Jobs
from evaluation_cancel.consumer.kubernetes.watch import ClusterWatch, UntilStopped
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.maintenance.late_jobs import LateJobs
from evaluation_cancel.consumer.maintenance.sweep import Reconcile, SweepLimits
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.outbox.relay import Relay, RelayLimits
from evaluation_cancel.consumer.runtime.loop import Loop as RunningLoop
from evaluation_cancel.consumer.s3 import connect as s3_connection
from evaluation_cancel.consumer.s3.connect import S3Access
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.consumer.sql import commands
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.teardown.attempt import TeardownRules
from evaluation_cancel.consumer.teardown.loop import Teardown
from evaluation_cancel.consumer.teardown.ports import TeardownLimits
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore

_GIVE_BACK_SECONDS = 2.0


def outcome_events(settings: ConsumerSettings) -> OutcomeEvents:
    topics = settings.topics
    return OutcomeEvents(
        events_topic=topics.events, dead_letter_topic=topics.dead_letters, source=settings.event_source
    )


class Wiring:
    """Makes the loops that were asked for. One that nudges another does so only if that one runs here."""

    def __init__(self, settings: ConsumerSettings, opened: Database, metrics: Metrics) -> None:
        self._settings = settings
        self._database = opened
        self._metrics = metrics
        self._events = outcome_events(settings)
        self._handover = EagerClaims(
            worker=settings.worker,
            lease=timedelta(seconds=settings.teardown_lease),
            call_margin=timedelta(seconds=settings.call_timeout),
        )
        self._decide = DecisionService(opened, self._events, self._handover)
        self._nudges: dict[str, Callable[[], None]] = {}
        self.relay: Relay | None = None
        self._claims: PostgresCancellationStore | None = None

    def decided(self, decided: Decided, records: int) -> None:
        """After a batch was recorded: others have work."""
        self._metrics.decided(decided, records)
        if decided.waiting:
            self._nudge("teardown")
        if decided.messages:
            self._nudge("outbox")

    def ended(self) -> None:
        """After outcomes were recorded."""
        self._nudge("outbox")
        self._nudge("cleanup")

    def _nudge(self, loop: str) -> None:
        if loop in self._nudges:
            self._nudges[loop]()

    async def give_back(self) -> None:
        """After a stop: others need not wait for the leases of what it cut short, nor of what was opened during it."""
        if self._claims is not None:
            with suppress(TemporaryError, TimeoutError):
                async with asyncio.timeout(_GIVE_BACK_SECONDS):
                    await self._claims.release(self._settings.worker)

    def intake(self) -> Intake:
        settings = self._settings
        topic = settings.topics.commands

        async def saved_offsets() -> dict[int, int]:
            async with self._database.connection() as tx:
                return await commands.saved_offsets(tx, topic)

        reader = KafkaCommandReader(
            topic=topic,
            group_id=settings.group_id,
            client_settings=settings.kafka_client(),
            isolation_level=settings.kafka_isolation_level,
            batch=settings.intake_batch,
            poll_ms=200,
            saved_offsets=saved_offsets,
        )
        return Intake(
            reader=reader,
            decide=self._decide,
            events=self._events,
            every_team_sources=settings.every_team_sources,
            accept_bare=settings.accept_bare,
            on_decided=self.decided,
            wait_for_capacity=self._handover.roomy,
        )

    def teardown(self, clusters: Mapping[str, Jobs], sightings: Mapping[str, WatchCache]) -> Teardown:
        settings = self._settings
        rules = TeardownRules(
            job_create_grace=settings.job_create_grace,
            refusal_patience=settings.refusal_patience,
            controller_uid_label=settings.controller_uid_label,
        )
        store = PostgresCancellationStore(
            self._database,
            self._events,
            call_margin=timedelta(seconds=settings.call_timeout),
            cleanup_deadline=settings.cleanup_time,
            on_ended=self.ended,
            rules=rules,
        )
        self._claims = store
        teardown = Teardown(
            store=store,
            clusters=clusters,
            sightings=sightings,
            worker=settings.worker,
            rules=rules,
            limits=TeardownLimits(
                calls_in_flight=settings.calls_in_flight, lease=timedelta(seconds=settings.teardown_lease)
            ),
            observe=self._metrics.attempted,
        )
        self._nudges["teardown"] = teardown.nudge
        self._handover.to(teardown.room)
        return teardown

    def late_jobs(self, clusters: Mapping[str, KubernetesJobs]) -> LateJobs:
        return LateJobs(database=self._database, clusters=clusters)

    def watches(
        self, clusters: Mapping[str, KubernetesJobs], sightings: Mapping[str, WatchCache], teardown: Teardown
    ) -> list[tuple[str, RunningLoop]]:
        loops: list[tuple[str, RunningLoop]] = []
        for name, jobs in clusters.items():
            watch = ClusterWatch(
                jobs.calls,
                cluster=name,
                sightings=sightings[name],
                on_change=teardown.on_change,
                on_connected=partial(teardown.on_reachable, name),
                namespaces=self._settings.clusters[name].namespaces,
            )
            loops.append((f"watch:{name}", UntilStopped(watch)))
        return loops

    async def cleanup(self, stack: AsyncExitStack) -> Cleanup:
        settings = self._settings
        access = S3Access(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            path_style=settings.s3_path_style,
            content_md5=settings.s3_content_md5,
        )
        artifacts = await stack.enter_async_context(s3_connection.connect(access))
        store = PostgresCleanupStore(
            self._database, self._events, call_margin=timedelta(seconds=30), on_ended=lambda: self._nudge("outbox")
        )
        cleanup = Cleanup(store=store, artifacts=artifacts, worker=settings.worker)
        self._nudges["cleanup"] = cleanup.nudge
        return cleanup

    def outbox(self, stack: AsyncExitStack) -> Relay:
        settings = self._settings
        producer = KafkaEventProducer(
            client_settings=settings.kafka_client(),
            deadline=settings.publish_timeout,
        )
        stack.push_async_callback(producer.close)
        self.relay = Relay(
            database=self._database,
            producer=producer,
            holder=settings.worker,
            limits=RelayLimits(
                batch=settings.outbox_batch,
                lease=timedelta(seconds=settings.outbox_lease),
                sending=timedelta(seconds=settings.publish_timeout),
            ),
        )
        self._nudges["outbox"] = self.relay.nudge
        return self.relay

    def reconcile(self) -> Reconcile:
        limits = SweepLimits(inbox_days=self._settings.inbox_days, outbox_days=self._settings.outbox_days)
        return Reconcile(database=self._database, decide=self._decide, on_decided=self.decided, limits=limits)


async def connect_clusters(
    settings: ConsumerSettings, only: Sequence[str], stack: AsyncExitStack
) -> dict[str, KubernetesJobs]:
    """Clients of the clusters to work on: all that the settings name, or those chosen."""
    connected: dict[str, KubernetesJobs] = {}
    for name in only or settings.clusters:
        cluster = settings.clusters[name]
        access = ClusterAccess(
            kubeconfig=cluster.kubeconfig,
            context=cluster.context,
            namespaces=cluster.namespaces,
            call_timeout=settings.call_timeout,
            calls_in_flight=settings.calls_in_flight,
            disable_strict_ssl_verification=cluster.disable_strict_ssl_verification,
        )
        connected[name] = await kubernetes_connection.connect(access)
        stack.push_async_callback(connected[name].close)
    return connected
