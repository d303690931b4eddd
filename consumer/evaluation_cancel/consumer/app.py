"""The composition root: makes every part from the settings, wires them, and closes them in reverse.

Nothing else makes a client or reads a setting. What a loop does is in the file of its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.migrations import version
from evaluation_cancel.consumer.runtime.health import HealthServer
from evaluation_cancel.consumer.runtime.loop import Loop as RunningLoop
from evaluation_cancel.consumer.runtime.supervisor import Supervisor
from evaluation_cancel.consumer.settings import ConsumerSettings, Loop
from evaluation_cancel.consumer.sql import reads
from evaluation_cancel.consumer.sql.connect import database
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.wiring import Wiring, connect_clusters


@asynccontextmanager
async def service(
    settings: ConsumerSettings, loops: Sequence[Loop], clusters: Sequence[str] = ()
) -> AsyncIterator[tuple[Supervisor, int]]:
    """The running service and the port of its health server. Leaving the block stops it gracefully."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings))
        parts = Wiring(settings, opened, metrics)
        running = await _loops(parts, settings, loops, clusters, stack)
        supervisor = Supervisor(running, on_restarted=metrics.restarted)
        health = HealthServer(
            host=settings.http_host,
            port=settings.http_port,
            registry=metrics.registry,
            standing_still=supervisor.standing_still,
            not_ready=lambda: _not_ready(opened),
            before_metrics=lambda: _observe(opened, metrics, parts),
        )
        port = await health.start()
        stack.push_async_callback(health.close)
        supervisor.start()
        try:
            yield supervisor, port
        finally:
            await supervisor.stop(settings.stop_timeout)
            await parts.give_back()


async def _loops(
    parts: Wiring, settings: ConsumerSettings, wanted: Sequence[Loop], clusters: Sequence[str], stack: AsyncExitStack
) -> list[tuple[str, RunningLoop]]:
    """In the order in which they are stopped: what brings work in first, what carries results out last."""
    running: list[tuple[str, RunningLoop]] = []
    if "intake" in wanted:
        running.append(("intake", parts.intake()))
    if "reconcile" in wanted:
        running.append(("reconcile", parts.reconcile()))
    if "teardown" in wanted:
        connected = await connect_clusters(settings, clusters, stack)
        sightings = {name: WatchCache() for name in connected}
        teardown = parts.teardown(connected, sightings)
        running.append(("teardown", teardown))
        running += parts.watches(connected, sightings, teardown)
        running.append(("late-jobs", parts.late_jobs(connected)))
    if "cleanup" in wanted and settings.cleanup_enabled:
        running.append(("cleanup", await parts.cleanup(stack)))
    if "outbox" in wanted:
        running.append(("outbox", parts.outbox(stack)))
    return running


async def _not_ready(opened: Database) -> str | None:
    try:
        async with opened.connection() as tx:
            return await version.problem(tx)
    except TemporaryError as error:
        return error.code


async def _observe(opened: Database, metrics: Metrics, parts: Wiring) -> None:
    async with opened.connection() as tx:
        gauges = await reads.gauges(tx)
    metrics.observe(gauges, parts.relay.published if parts.relay else 0)
