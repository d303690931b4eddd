"""The Kafka producer of the outbox: idempotent, acknowledged by all replicas, with deadlines that aiokafka lacks.

The client's `send_and_wait`, `flush` and `stop` do not return while the broker is away, so each has a deadline here. A
record without an acknowledgement in time may still arrive: its result is `Unresolved`, and the caller renews the
producer before it sends again. `outbox/relay.py` chooses the messages.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, ProducerClosed

from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.kafka.partition_batches import REFUSED, Placed, hand_over, refused
from evaluation_cancel.consumer.outbox.ports import Record, SendResult, Sent, Unresolved
from evaluation_cancel.schemas.kafka_causes import listening_to_the_client

_LATE = "no acknowledgement in time"
_LARGEST_BATCH: Final = 128 * 1024
_SMALLEST_BATCH: Final = 1024


class KafkaEventProducer:
    """Creates its client at the first send, and a new one after `renew`."""

    def __init__(self, *, client_settings: Callable[[], Mapping[str, Any]], deadline: float) -> None:
        """`client_settings` is read for each new client, so that it has the certificates and passwords of then.

        `deadline`: seconds for one `send`, including the start of the client; below the relay's lease.
        """
        self._settings = client_settings
        self._deadline = deadline
        self._batch_bytes = _LARGEST_BATCH
        self._client: AIOKafkaProducer | None = None

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        """Sends all records and returns their results in order. An error of a single record is a result, not raised."""
        placed: Placed = [None] * len(records)
        late: SendResult = Unresolved(detail=_LATE)
        try:
            async with asyncio.timeout(self._deadline):
                await hand_over(await self._started(), records, placed)
                waiting = {f for f in placed if isinstance(f, asyncio.Future)}
                if waiting:
                    await asyncio.wait(waiting)
        except REFUSED as error:
            late = refused(error)
        except (TimeoutError, KafkaError, OSError, RuntimeError) as error:
            late = Unresolved(detail=str(error) or _LATE)
        alone = Counter(placed)
        results = [late if outcome is None else _result(outcome, alone=alone[outcome] == 1) for outcome in placed]
        if any(result is _TOGETHER_TOO_LARGE for result in results):
            self._batch_bytes = max(_SMALLEST_BATCH, self._batch_bytes // 2)
        return results

    async def renew(self) -> None:
        """Discards the client with all records that it has not sent yet."""
        client, self._client = self._client, None
        if client is not None:
            await _stop(client)

    async def close(self) -> None:
        """Discards the client."""
        await self.renew()

    async def _started(self) -> AIOKafkaProducer:
        if self._client is None:
            client = self._new_client()
            with listening_to_the_client() as causes:
                try:
                    await client.start()
                except (KafkaConnectionError, OSError) as error:
                    await _stop(client)
                    raise KafkaConnectionError(causes.behind(error)) from error
                except BaseException:
                    await _stop(client)
                    raise
            self._client = client
        return self._client

    def _new_client(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._batch_bytes,
            linger_ms=0,
            retry_backoff_ms=500,
            request_timeout_ms=int(self._deadline * 1000),
            **self._settings(),
        )


_TOGETHER_TOO_LARGE: Final = Unresolved(detail="the broker takes no batch of that size; smaller ones follow")


def _result(outcome: asyncio.Future[Any] | SendResult, *, alone: bool) -> SendResult:
    """Result of a record from its batch. A batch refused for its size refuses its record only if it holds just one."""
    if not isinstance(outcome, asyncio.Future):
        return outcome
    if not outcome.done() or outcome.cancelled():
        return Unresolved(detail=_LATE)
    error = outcome.exception()
    if error is None:
        return Sent()
    if isinstance(error, MessageSizeTooLargeError) and not alone:
        return _TOGETHER_TOO_LARGE
    if isinstance(error, REFUSED):
        return refused(error)
    return Unresolved(detail=scrub(str(error) or type(error).__name__))


async def _stop(client: AIOKafkaProducer) -> None:
    """Stops within a second, else by force: while the broker is away the client would flush for ever.

    Around an outage its methods raise whatever they stumble over, KeyError too; none of that may leave it running.
    """
    try:
        await asyncio.wait_for(client.stop(), 1)
    except Exception:  # noqa: BLE001
        # A cancelled stop() leaves the sender running, and no public method ends it.
        with suppress(Exception):
            client._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
        with suppress(Exception):
            await asyncio.wait_for(client._sender.close(), 1)  # noqa: SLF001
        with suppress(Exception):
            await asyncio.wait_for(client.client.close(), 1)
