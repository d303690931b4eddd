"""The Kafka producer behind the outbox: idempotent, all replicas, and with deadlines that aiokafka does not have.

`send_and_wait`, `flush` and `stop` of the client do not return while the broker is away, so that each is bounded here.
What was not acknowledged in time may still arrive: it is said to be unresolved, and the producer is thrown away before
anything is sent again. Which message to send when is `outbox.py`'s business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)

from consumer.errors import scrub
from consumer.outbox import Record, Refused, SendResult, Sent, Unresolved

_REFUSALS: Mapping[type[BaseException], str] = {
    MessageSizeTooLargeError: "message_too_large",
    RecordListTooLargeError: "message_too_large",
    RecordTooLargeError: "message_too_large",
    TopicAuthorizationFailedError: "topic_not_authorized",
    ClusterAuthorizationFailedError: "cluster_not_authorized",  # told to a client that may write to no topic at all
    InvalidTopicError: "invalid_topic",
}


class KafkaEventProducer:
    """Makes its client when it is first needed, and anew after `renew`."""

    def __init__(self, *, client_settings: Mapping[str, Any], deadline: float, max_request_size: int) -> None:
        """`deadline`: seconds for a round of sends, and for starting; below the relay's lease."""
        self._settings = client_settings
        self._deadline = deadline
        self._max_request_size = max_request_size
        self._client: AIOKafkaProducer | None = None

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        """Sends in order and waits for all; never raises for a single record."""
        futures: list[asyncio.Future[Any] | SendResult] = []
        try:
            async with asyncio.timeout(self._deadline):
                client = await self._started()
                for topic, key, value, headers in records:
                    futures.append(await _send(client, topic, key, value, headers))
                waiting = [f for f in futures if isinstance(f, asyncio.Future)]
                if waiting:
                    await asyncio.wait(waiting)
        except (TimeoutError, KafkaError, OSError) as error:
            detail = str(error) or "no acknowledgement in time"
            refused = isinstance(error, tuple(_REFUSALS))
            unsent: list[SendResult] = [_refused(error) if refused else Unresolved(detail=detail)]
            return [_result(f) for f in futures] + unsent * (len(records) - len(futures))
        return [_result(f) for f in futures]

    async def renew(self) -> None:
        """Abandons the client; what it had not sent yet it will not send any more."""
        client, self._client = self._client, None
        if client is not None:
            await _stop(client)

    async def close(self) -> None:
        await self.renew()

    async def _started(self) -> AIOKafkaProducer:
        if self._client is None:
            client = AIOKafkaProducer(
                acks="all",
                enable_idempotence=True,
                max_batch_size=128 * 1024,
                linger_ms=0,
                retry_backoff_ms=500,
                request_timeout_ms=int(self._deadline * 1000),
                max_request_size=self._max_request_size,
                **self._settings,
            )
            try:
                await client.start()
            except BaseException:
                await _stop(client)
                raise
            self._client = client
        return self._client


async def _send(
    client: AIOKafkaProducer, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> asyncio.Future[Any] | SendResult:
    if key is None and value is None:
        key = b""  # the client sends nothing without both, and a dead letter of such a record is to be sent
    try:
        future: asyncio.Future[Any] = await client.send(topic, value, key=key, headers=headers)
    except tuple(_REFUSALS) as error:
        return _refused(error)
    except (AssertionError, TypeError, ValueError) as error:
        # One message that the client cannot make sense of must not keep all others from being sent.
        return Refused(code="unsendable", detail=scrub(f"{type(error).__name__}: {error}"))
    return future


def _result(outcome: asyncio.Future[Any] | SendResult) -> SendResult:
    if not isinstance(outcome, asyncio.Future):
        return outcome
    if not outcome.done() or outcome.cancelled():
        return Unresolved(detail="no acknowledgement in time")
    error = outcome.exception()
    if error is None:
        return Sent()
    if isinstance(error, tuple(_REFUSALS)):
        return _refused(error)
    return Unresolved(detail=scrub(str(error) or type(error).__name__))


def _refused(error: BaseException) -> Refused:
    return Refused(code=_REFUSALS[type(error)], detail=scrub(str(error)))


async def _stop(client: AIOKafkaProducer) -> None:
    """Stops gracefully within a second, else by force: the client flushes for ever while the broker is away."""
    try:
        await asyncio.wait_for(client.stop(), 1)
    except (TimeoutError, KafkaError, OSError):
        # stop() leaves its sender at work when it is cut short, and nothing public ends that.
        client._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
        with suppress(TimeoutError, KafkaError, OSError):
            await asyncio.wait_for(client._sender.close(), 1)  # noqa: SLF001
        with suppress(TimeoutError, KafkaError, OSError):
            await asyncio.wait_for(client.client.close(), 1)
