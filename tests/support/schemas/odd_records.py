"""Sends records that ordinary clients cannot write, with header names that are not UTF-8."""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

NO_COMPRESSION = 0


class Name(str):
    """A header name that encodes its surrogate escapes as the bytes they stand for."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002  # the signature of str
        return super().encode(encoding, "surrogateescape")


async def send_batch(
    bootstrap_servers: str,
    topic: str,
    records: Sequence[tuple[bytes | None, list[tuple[str, bytes | None]]]],
    compression: int = NO_COMPRESSION,
) -> None:
    """Send all records as one batch to partition 0. aiokafka's pure-Python writer does not check the names."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        await producer.partitions_for(topic)
        batch = producer.create_batch()
        builder: Any = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, 0, 1_000_000)
        batch._builder = builder
        for value, headers in records:
            written = batch.append(
                key=None, value=value, timestamp=None, headers=[(Name(name), text) for name, text in headers]
            )
            assert written is not None
        await (await producer.send_batch(batch, topic, partition=0))
