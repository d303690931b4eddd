"""Reads the events topic in a process of its own, and notes when each event came.

It is a stranger to the system: librdkafka, no group. It ends when enough outcomes have come and none more for a
moment, so that doubled ones show, or when nothing at all comes any more. What it notes is judged in `check.py`.
Then it waits to be ended, so that its use of the machine can still be read.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import Consumer, Message, TopicPartition

_AFTER_THE_LAST = 1.5
"""Seconds to wait for what should not come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What to read, and until when."""

    bootstrap_servers: str
    topic: str
    isolation_level: str
    outcomes: int
    """How many records end it; only those of `outcome_type`, if that is given."""
    outcome_type: str | None
    patience: float
    """Seconds without any record after which no more is expected."""
    ready: str
    """The file written when it reads."""
    result: str


def write(path: str, text: str) -> None:
    """All at once, for somebody who waits for it."""
    unfinished = Path(f"{path}.unfinished")
    unfinished.write_text(text)
    unfinished.rename(path)


def _text(headers: dict[str, bytes], name: str) -> str:
    return headers.get(name, b"").decode()


def _note(message: Message) -> tuple[str, str, str, float]:
    """Event id, type, the command's id, and when it came."""
    headers = dict(message.headers() or ())
    return _text(headers, "ce_id"), _text(headers, "ce_type"), _text(headers, "ce_causationid"), time.time()


def read(reading: Reading) -> list[tuple[str, str, str, float]]:
    consumer = Consumer(
        {
            "bootstrap.servers": reading.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": reading.isolation_level,
            "log_level": 4,
        }
    )
    partitions = consumer.list_topics(reading.topic, timeout=30).topics[reading.topic].partitions
    consumer.assign([TopicPartition(reading.topic, p, 0) for p in partitions])
    write(reading.ready, "ready")
    try:
        return _collect(consumer, reading)
    finally:
        consumer.close()


def _collect(consumer: Consumer, reading: Reading) -> list[tuple[str, str, str, float]]:
    notes: list[tuple[str, str, str, float]] = []
    left = reading.outcomes
    while (message := consumer.poll(reading.patience if left > 0 else _AFTER_THE_LAST)) is not None:
        if message.error() is None:
            notes.append(_note(message))
            left -= reading.outcome_type is None or notes[-1][1] == reading.outcome_type
    return notes


def command(reading: Reading) -> list[str]:
    """The command line of a reader."""
    return [sys.executable, "-m", "tests.bench.pipeline.reader", json.dumps(asdict(reading))]


if __name__ == "__main__":
    reading = Reading(**json.loads(sys.argv[1]))
    write(reading.result, json.dumps(read(reading)))
    signal.pause()
