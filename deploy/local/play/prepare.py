"""Download and build what the real parts need, so that the first start need not wait for it."""

import asyncio

from deploy.local.kafka.real import prepare_kafka
from deploy.local.kubernetes_real.build import kubernetes_binary


async def prepare() -> None:
    """Kafka's jars and class archive, and the Kubernetes binary; what is in the cache is left as it is."""
    await asyncio.gather(prepare_kafka(), kubernetes_binary())
