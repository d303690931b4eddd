"""One disposable aiokafka producer: idempotent, acknowledged by all replicas, started and stopped within time limits.

aiokafka's own `stop` waits for ever while the broker is away. `publisher.py` sends, and replaces a broken producer.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

FORCED_SECONDS: Final = 1.0
RETRY_BACKOFF_MS: Final = 500
"""aiokafka's default of 100 ms floods a broker that is coming back."""


async def started_producer(client: dict[str, Any], request_timeout: float) -> AIOKafkaProducer:
    """Tries once. The caller bounds it."""
    producer = AIOKafkaProducer(
        acks="all",
        enable_idempotence=True,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        request_timeout_ms=int(request_timeout * 1000),
        **client,
    )
    try:
        await producer.start()
    except BaseException:
        await stop_producer(producer, 0)
        raise
    return producer


async def stop_producer(producer: AIOKafkaProducer, seconds: float) -> None:
    """Lets it send what it has for so long, then ends it whatever it is doing."""
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=seconds)
    if not stopping.done():
        # Failing what is left lets stop() itself run to its end: cut short, it would leave its tasks and sockets.
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001 - nothing public ends it
        await asyncio.wait({stopping}, timeout=FORCED_SECONDS)
    if not stopping.done():
        stopping.cancel()
        with suppress(TimeoutError, KafkaError, OSError):
            await asyncio.wait_for(producer.client.close(), FORCED_SECONDS)
        await asyncio.wait({stopping}, timeout=FORCED_SECONDS)
    if stopping.done() and not stopping.cancelled():
        stopping.exception()  # looked at, so that asyncio does not report it: the producer is gone either way
