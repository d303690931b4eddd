"""The Kafka producer behind the outbox: idempotent, all replicas, and with deadlines that aiokafka does not have.

`send_and_wait`, `flush` and `stop` of the client do not return while the broker is away, so that each is bounded here.
What was not acknowledged in time may still arrive: it is said to be unresolved, and the producer is thrown away before
anything is sent again. Which message to send when is `outbox/relay.py`'s business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed

from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.kafka.partition_batches import REFUSED, Placed, hand_over, refused
from evaluation_cancel.consumer.outbox.ports import Record, SendResult, Sent, Unresolved

_LATE = "no acknowledgement in time"
_LARGEST_BATCH: Final = 128 * 1024
_SMALLEST_BATCH: Final = 1024


class KafkaEventProducer:
    """Makes its client when it is first needed, and anew after `renew`."""

    def __init__(self, *, client_settings: Mapping[str, Any], deadline: float) -> None:
        """`deadline`: seconds for a round of sends, and for starting; below the relay's lease."""
        self._settings = client_settings
        self._deadline = deadline
        self._batch_bytes = _LARGEST_BATCH
        self._client: AIOKafkaProducer | None = None

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        """Sends all and waits for all; never raises for a single record."""
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
        except (TimeoutError, KafkaError, OSError) as error:
            late = Unresolved(detail=str(error) or _LATE)
        alone = Counter(placed)
        results = [late if outcome is None else _result(outcome, alone=alone[outcome] == 1) for outcome in placed]
        if any(result is _TOGETHER_TOO_LARGE for result in results):
            self._batch_bytes = max(_SMALLEST_BATCH, self._batch_bytes // 2)
        return results

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
                max_batch_size=self._batch_bytes,
                linger_ms=0,
                retry_backoff_ms=500,
                request_timeout_ms=int(self._deadline * 1000),
                **self._settings,
            )
            try:
                await client.start()
            except BaseException:
                await _stop(client)
                raise
            self._client = client
        return self._client


_TOGETHER_TOO_LARGE: Final = Unresolved(detail="the broker takes no batch of that size; smaller ones follow")


def _result(outcome: asyncio.Future[Any] | SendResult, *, alone: bool) -> SendResult:
    """A batch that is too large says nothing of the messages in it, unless there was one only."""
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
