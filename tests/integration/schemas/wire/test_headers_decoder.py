"""One stranger's record with an unreadable header name, and the readable ones beside it."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from evaluation_cancel.schemas.wire import fetched
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, decode_command
from tests.support.schemas.odd_records import send_batch

ODD = "x-\udcff\udcfe"
PLAIN = (b"plain", [("x-plain", b"1"), ("x-absent", None)])
BATCH: Any = [PLAIN, (b"odd", [("x-first", b"1"), (ODD, b"\xff"), ("x-größe", b"2")]), (None, []), PLAIN]
PATIENCE = 30.0


@pytest.fixture
def unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka as it comes; whatever a test installs is taken out again."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)


async def read(bootstrap_servers: str, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE), consumer:
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found


async def test_without_the_decoder_one_such_record_stops_the_reader(
    unpatched: None, environment: Any, topics: Any
) -> None:
    address = environment.kafka.bootstrap_servers
    await send_batch(address, topics.commands, BATCH)
    with pytest.raises(UnicodeDecodeError):
        await read(address, topics.commands, len(BATCH))


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
async def test_with_the_decoder_every_record_of_the_batch_is_read(
    unpatched: None, environment: Any, topics: Any, compression: int
) -> None:
    fetched.install()
    fetched.install()
    address = environment.kafka.bootstrap_servers
    await send_batch(address, topics.commands, BATCH, compression)
    await send_batch(address, topics.commands, [PLAIN], compression)
    found = await read(address, topics.commands, len(BATCH) + 1)
    assert [record.value for record in found] == [b"plain", b"odd", None, b"plain", b"plain"]
    assert [record.offset for record in found] == list(range(5))
    assert found[1].headers == (("x-first", b"1"), (ODD, b"\xff"), ("x-größe", b"2"))
    assert found[0].headers == (("x-plain", b"1"), ("x-absent", None))
    with pytest.raises(UndecodableRecord, match=r"x-\\udcff\\udcfe"):
        decode_command(RawRecord.of(found[1]))


async def test_a_readable_batch_stays_with_the_fast_reader(
    unpatched: None, environment: Any, topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(raw: memoryview) -> None:
        raise AssertionError("the slow reader was used")

    fetched.install()
    monkeypatch.setattr(fetched, "LenientBatch", never)
    await send_batch(environment.kafka.bootstrap_servers, topics.commands, [PLAIN, PLAIN])
    found = await read(environment.kafka.bootstrap_servers, topics.commands, 2)
    assert [record.value for record in found] == [b"plain", b"plain"]
