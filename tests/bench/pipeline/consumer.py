"""The consumer under measurement: the real loops of `evaluation_cancel.consumer.app`, with a cluster of instant Jobs.

`python -m tests.bench.pipeline.consumer FILE` runs until SIGTERM; into FILE it writes when its loops began. Settings
come from the environment, as for the real one. Left out are the parts that have nothing to do here: watches, cleanup,
health.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack

import uvloop

from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.consumer.runtime import logs
from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely
from evaluation_cancel.consumer.runtime.supervisor import Supervisor
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.consumer.sql.connect import database
from evaluation_cancel.consumer.wiring import Clients, wire
from evaluation_cancel.schemas.settings.loading import load_settings
from tests.bench.kubernetes.instant_jobs import CLUSTER, InstantJobs
from tests.bench.pipeline.reader import write


async def serve(settings: ConsumerSettings, begun_file: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    search_rarely()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(settings))
        producer = KafkaEventProducer(client_settings=settings.kafka_client, deadline=settings.publish_timeout)
        stack.push_async_callback(producer.close)
        clients = Clients(clusters={CLUSTER: InstantJobs()}, watched={}, producer=producer)
        loops = wire(settings, opened, metrics, clients, ["intake", "reconcile", "teardown"]).loops
        supervisor = Supervisor(loops, on_restarted=metrics.restarted)
        write(begun_file, str(time.time()))
        supervisor.start()
        await stopped.wait()
        await supervisor.stop(settings.stop_timeout)


if __name__ == "__main__":
    logs.configure("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(load_settings(ConsumerSettings), sys.argv[1]))
