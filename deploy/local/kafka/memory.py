"""Kafka without Java: the in-memory broker inside librdkafka, in a process of its own.

For the demo and quick tests. It keeps about 5 MB a partition, gives topics four partitions, forgets all when it ends
and knows neither transactions nor read_committed. Run as a program it is the broker: `-m deploy.local.kafka.memory
FILE` writes the address into FILE and stays until it is killed.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from confluent_kafka import Producer

from deploy.local.kafka.broker import Kafka
from deploy.local.processes.process import Workspace


@asynccontextmanager
async def kafka_memory(work: Workspace) -> AsyncIterator[Kafka]:
    address = work.directory / "kafka.address"
    child = work.start("kafka", [sys.executable, "-m", "deploy.local.kafka.memory", address])

    async def written() -> bool:
        return address.exists()

    try:
        await child.ready(written)
        yield Kafka(bootstrap_servers=address.read_text(), kind="memory")
    finally:
        child.kill()


def main(address: Path) -> None:
    owner = Producer({"test.mock.num.brokers": 1})
    (broker,) = owner.list_topics(timeout=30).brokers.values()
    unfinished = address.with_suffix(".unfinished")
    unfinished.write_text(f"{broker.host}:{broker.port}")
    unfinished.rename(address)
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
