"""Download and build what the real parts need, so that the first start need not wait for it."""

import asyncio

from deploy.local.errors import StandError
from deploy.local.kafka.real import prepare_kafka
from deploy.local.kubernetes_kubelet.build import node_binary
from deploy.local.kubernetes_kubelet.tools import check_tools
from deploy.local.kubernetes_real.build import kubernetes_binary
from deploy.local.s3_real.server import s3_binary


async def prepare() -> None:
    """Kafka's jars and class archive, and the binaries of Go; what is in the cache is left as it is."""
    await asyncio.gather(prepare_kafka(), _binaries())


async def _binaries() -> None:
    await kubernetes_binary()
    await s3_binary()
    try:
        check_tools()
    except StandError as error:
        print(f"Kubelet and scheduler are not built: {error}")
    else:
        await node_binary()
