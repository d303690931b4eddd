"""`python -m tests.bench.replay`: how fast history is replayed, beside a raw reading of the same records, in one run.

A million events like the service's own lie in twelve partitions. In turns, a child process reads them with nothing
but aiokafka, or replays them as `audit replay --as jsonl` does, whole, into a file. Each counts from its
first read to its last record; what each wrote is counted too. Exits with 1 when a replay lost or doubled a record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from deploy.local.kafka.broker import Kafka, ensure_topics
from deploy.local.kafka.memory import kafka_memory
from deploy.local.kafka.real import kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.consumer.audit.history.history import KafkaHistory
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.kafka.client import open_log
from evaluation_cancel.consumer.audit.replay.outputs import JsonLinesOutput
from evaluation_cancel.consumer.audit.replay.replay import replay
from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope, schema_uri
from evaluation_cancel.schemas.events import Actor, EvaluationCancelled, Evidence, PodEnded, event_id
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import encode_event
from tests.bench.environment import default_kafka

COUNT = 1_000_000
_MEMORY_CAP = 15_000
"""The in-memory broker keeps 5 MB a partition."""
_WAYS = ("raw", "replay")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a child did."""

    records: int
    seconds: float
    bytes_written: int
    peak_megabytes: float

    @property
    def rate(self) -> float:
        return self.records / self.seconds


class Counted:
    """A file that counts what it is given and passes it on."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = 0

    def write(self, text: bytes) -> None:
        self.bytes += len(text)
        self._file.write(text)


async def read_raw(address: str, isolation: str, topic: str, partitions: int) -> Reading:
    """Nothing but the client: records are taken and dropped."""
    client = AIOKafkaConsumer(
        bootstrap_servers=address,
        isolation_level=isolation,
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=2 * 1024 * 1024,
    )
    await client.start()
    all_of_them = [TopicPartition(topic, p) for p in range(partitions)]
    client.assign(all_of_them)
    await client.seek_to_beginning(*all_of_them)
    left = sum((await client.end_offsets(all_of_them)).values())
    count, began = 0, time.perf_counter()
    while count < left:
        for records in (await client.getmany(timeout_ms=1000, max_records=4000)).values():
            count += len(records)
    seconds = time.perf_counter() - began
    await client.stop()
    return Reading(records=count, seconds=seconds, bytes_written=0, peak_megabytes=_peak())


async def read_by_replay(address: str, isolation: str, topic: str, out: Path) -> Reading:
    """Every record as a line of JSON."""
    with out.open("wb") as file:
        counted = Counted(file)
        async with open_log({"bootstrap_servers": address}, isolation, [topic]) as log:
            await log.bounds()  # the client has its metadata, as the raw one has
            history = KafkaHistory(log, patience=30, on_remark=_ignore)
            began = time.perf_counter()
            output = JsonLinesOutput(counted)  # type: ignore[arg-type]  # all that it uses
            count = await replay(history, [topic], Selection(), output, Meter(None))
            seconds = time.perf_counter() - began
    return Reading(records=count, seconds=seconds, bytes_written=counted.bytes, peak_megabytes=_peak())


def _ignore(sentence: str) -> None:
    """Nothing has expired here."""


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def fill(kafka: Kafka, topic: str, count: int) -> None:
    """Events of the usual size, each about an evaluation of its own."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, max_batch_size=512 * 1024, linger_ms=5, acks=1
    ) as producer:
        for number in range(count):
            encoded = encode_event(*_event(number))
            sent = await producer.send(topic, encoded.value, key=encoded.key, headers=encoded.headers)
        await sent


def _event(number: int) -> tuple[Envelope, EvaluationCancelled]:
    evaluation, now = UUID(int=uuid4().int), datetime.now(UTC)
    event = EvaluationCancelled(
        evaluation_id=evaluation,
        cancellation_id=evaluation,
        team_id="team-7",
        status_before="running",
        requested_by=Actor(kind="user", id="ada"),
        reason="wrong model",
        accepted_at=now,
        command_ids=(str(evaluation),),
        command_count=1,
        cancelled_at=now,
        evidence=Evidence(job=str(evaluation), pods=(PodEnded(name="evaluation-0", gone_at=now),), pod_count=1),
    )
    envelope = Envelope(
        id=str(event_id("/bench", str(number), "EvaluationCancelled")),
        source="urn:evaluation-cancel",
        type=f"{TYPE_PREFIX}EvaluationCancelled",
        time=now,
        dataschema=schema_uri("EvaluationCancelled"),
        causationid=str(number),
        cancellationid=str(evaluation),
        sequence=number,
    )
    return envelope, event


async def measured(way: str, kafka: Kafka, topic: str, out: Path) -> Reading:
    """In a process of its own."""
    isolation = "read_uncommitted" if kafka.kind == "memory" else "read_committed"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.replay", "--child", way, kafka.bootstrap_servers, isolation, topic, out),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await child.communicate()
    if child.returncode:
        raise SystemExit(f"the child that was to measure {way!r} has failed")
    return Reading(**json.loads(printed))


async def child(way: str, address: str, isolation: str, topic: str, out: str) -> None:
    if way == "raw":
        partitions = 4 if isolation == "read_uncommitted" else Topics().partitions
        reading = await read_raw(address, isolation, topic, partitions)
    else:
        search_rarely()  # as the command does
        reading = await read_by_replay(address, isolation, topic, Path(out))
    print(json.dumps(asdict(reading)))


async def main(count: int, rounds: int, which: str) -> int:
    console = Console()
    if which == "memory":
        count = min(count, _MEMORY_CAP)
    topics = Topics(f"{uuid4().hex[:8]}-")
    async with workspace() as work, (kafka_real if which == "real" else kafka_memory)(work) as kafka:
        await ensure_topics(kafka, topics.specs())
        console.print(f"{count:,} events are written.")
        await fill(kafka, topics.events, count)
        found: dict[str, list[Reading]] = {way: [] for way in _WAYS}
        for number in range(rounds):
            for way in _WAYS if number % 2 == 0 else reversed(_WAYS):
                reading = await measured(way, kafka, topics.events, work.directory / "replayed.jsonl")
                found[way].append(reading)
                console.print(f"{way}: {reading.records:,} in {reading.seconds:.2f} s, {reading.rate:,.0f}/s")
        lines = await asyncio.to_thread(_lines, work.directory / "replayed.jsonl")
    return show(console, found, count, lines)


def _lines(path: Path) -> tuple[int, int]:
    """Lines, and different positions among them."""
    positions = set()
    total = 0
    with path.open("rb") as file:
        for line in file:
            total += 1
            positions.add(line[: line.index(b',"timestamp"')])
    return total, len(positions)


def show(console: Console, found: dict[str, list[Reading]], count: int, lines: tuple[int, int]) -> int:
    table = Table("reading", "records/s (median)", "lowest-highest", "MB written", "peak MB", "of raw")
    raw = statistics.median(r.rate for r in found["raw"])
    for way, readings in found.items():
        rates = [r.rate for r in readings]
        median = statistics.median(rates)
        table.add_row(
            way,
            f"{median:,.0f}",
            f"{min(rates):,.0f}-{max(rates):,.0f}",
            f"{readings[0].bytes_written / 1e6:,.0f}",
            f"{max(r.peak_megabytes for r in readings):,.0f}",
            f"{median / raw:.2f}",
        )
    console.print(table)
    if lines != (count, count) or any(r.records != count for readings in found.values() for r in readings):
        console.print(f"[red]wrong:[/red] {count:,} records, {lines[0]:,} lines, {lines[1]:,} different positions")
        return 1
    console.print("Every record was replayed once.")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replay", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="events")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--kafka", choices=["real", "memory"], help="default: real if Java and Maven are there")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    if options.child:
        asyncio.run(child(*options.child))
    else:
        sys.exit(asyncio.run(main(options.count, options.rounds, options.kafka or default_kafka())))
