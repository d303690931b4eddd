"""The service's composition root: opens the clients, wires the loops, runs them, and closes everything in reverse.

All clients of the service are opened here. One exception: the command reader opens its own Kafka client, a new one each
time intake restarts. `wiring.py` connects the loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from evaluation_cancel.consumer.domain.errors import CancellationError, TemporaryError
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.kubernetes import connect as kubernetes_connection
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.migrations import version
from evaluation_cancel.consumer.runtime.health import HealthServer
from evaluation_cancel.consumer.runtime.supervisor import Supervisor
from evaluation_cancel.consumer.s3 import connect as s3_connection
from evaluation_cancel.consumer.s3.connect import S3Access
from evaluation_cancel.consumer.s3.port import Artifacts
from evaluation_cancel.consumer.settings import ConsumerSettings, Loop
from evaluation_cancel.consumer.sql import reads
from evaluation_cancel.consumer.sql.connect import database
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.sql.errors import PostgresError
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from evaluation_cancel.consumer.wiring import Clients, Wired, wire

_RELEASE_SECONDS = 2.0


@asynccontextmanager
async def service(
    settings: ConsumerSettings, loops: Sequence[Loop], clusters: Sequence[str] = ()
) -> AsyncIterator[tuple[Supervisor, int]]:
    """Runs the service; yields its supervisor and the port of its health server. Leaving the block stops it gracefully.

    `clusters` limits the teardown to some of the clusters in the settings; empty means all.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings))
        clients = await _open_clients(settings, loops, clusters, stack)
        wired = wire(settings, opened, metrics, clients, loops)
        supervisor = Supervisor(wired.loops, on_restarted=metrics.restarted)
        health = HealthServer(
            host=settings.http_host,
            port=settings.http_port,
            registry=metrics.registry,
            standing_still=supervisor.standing_still,
            not_ready=lambda: _not_ready(opened),
            before_metrics=lambda: _observe(opened, metrics, wired),
            unreadable=wired.unreadable,
        )
        port = await health.start()
        stack.push_async_callback(health.close)
        supervisor.start()
        try:
            yield supervisor, port
        finally:
            await supervisor.stop(settings.stop_timeout)
            await _release(wired.claims, settings.worker)


async def _open_clients(
    settings: ConsumerSettings, wanted: Sequence[Loop], clusters: Sequence[str], stack: AsyncExitStack
) -> Clients:
    """Opens the clients that the wanted loops need; the stack closes them."""
    connected: dict[str, KubernetesJobs] = {}
    artifacts: Artifacts | None = None
    producer: KafkaEventProducer | None = None
    if "teardown" in wanted:
        connected = await _connect_clusters(settings, clusters, stack)
    if "cleanup" in wanted and settings.cleanup_enabled:
        access = S3Access(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            path_style=settings.s3_path_style,
            content_md5=settings.s3_content_md5,
        )
        artifacts = await stack.enter_async_context(s3_connection.connect(access))
    if "outbox" in wanted:
        producer = KafkaEventProducer(client_settings=settings.kafka_client, deadline=settings.publish_timeout)
        stack.push_async_callback(producer.close)
    return Clients(clusters=connected, watched=connected, artifacts=artifacts, producer=producer)


async def _connect_clusters(
    settings: ConsumerSettings, only: Sequence[str], stack: AsyncExitStack
) -> dict[str, KubernetesJobs]:
    """Opens a client for each cluster in the settings, or for the given ones."""
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
            evaluation_label=settings.evaluation_label,
        )
        connected[name] = await kubernetes_connection.connect(access)
        stack.push_async_callback(connected[name].close)
    return connected


async def _release(claims: PostgresCancellationStore | None, worker: str) -> None:
    """Ends the leases of rows that the stop cut short or that were opened during it, so that others can claim them."""
    if claims is not None:
        with suppress(TemporaryError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                await claims.release(worker)


async def _not_ready(opened: Database) -> str | None:
    """Why no command can be carried out now, whatever Postgres says."""
    try:
        async with opened.connection() as tx:
            writable = await reads.is_writable(tx)
            problem = await version.problem(tx)
    except (CancellationError, PostgresError) as error:
        return str(error)
    if not writable:
        await opened.renew()
        return "postgres_read_only: this server takes no writes; a failover may be under way"
    return problem


async def _observe(opened: Database, metrics: Metrics, wired: Wired) -> None:
    metrics.unreadable(len(wired.unreadable()))
    async with opened.connection() as tx:
        gauges = await reads.gauges(tx)
    metrics.observe(gauges, wired.relay.published if wired.relay else 0)
