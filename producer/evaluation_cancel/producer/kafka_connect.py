"""Connects a Kafka client within a time limit: aiokafka's own `start` gives up at the first failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import KafkaError

from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.schemas.kafka_causes import listening_to_the_client

T = TypeVar("T")
RETRY_SECONDS: Final = 0.5
"""Seconds between two attempts: soon enough after an outage, and no flood for a broker that is coming back."""


async def connect_within(connect: Callable[[], Awaitable[T]], *, seconds: float, failure: str) -> T:
    """Return what `connect` returns, calling it again after each failure to reach the broker.

    Raises KafkaUnreachable after `seconds`, with the sentence `failure` and the last error.
    """
    last: Exception = TimeoutError("no answer")
    with listening_to_the_client() as causes:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await connect()
                    except (KafkaError, OSError) as error:
                        last = error
                        await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise KafkaUnreachable(f"{failure} in {seconds:g} s: {causes.behind(last)}") from last
