"""Replaying: the same from Kafka and from the archive, filtered, into each form, onto a topic and on again."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.kafka.broker import ensure_topics
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.audit.cli.options import Source
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.history import Piece
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.outputs import JsonLinesOutput
from evaluation_cancel.consumer.audit.replay.parquet import ParquetOutput
from evaluation_cancel.consumer.audit.replay.topic import ODD_HEADERS, REPLAYED, ProgressFile, TopicOutput
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.schemas.topics import TopicSpec
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.audit.history import History
from tests.support.audit.replaying import EVERYTHING, kept, replayed
from tests.support.environment import unique

SOURCES: tuple[Source, ...] = ("kafka", "archive")


def place(record: RawRecord) -> tuple[str, int, int]:
    return (record.topic, record.partition, record.offset)


async def test_kafka_and_the_archive_give_the_same_records(history: History) -> None:
    from_kafka = await kept(history.settings, "kafka")
    from_archive = await kept(history.settings, "archive")
    assert len(from_kafka) > 20
    assert sorted(from_kafka, key=place) == sorted(from_archive, key=place)
    for records in (from_kafka, from_archive):
        for partition in {(r.topic, r.partition) for r in records}:
            offsets = [r.offset for r in records if (r.topic, r.partition) == partition]
            assert offsets == sorted(offsets)


@pytest.mark.parametrize("source", SOURCES)
async def test_replay_gives_only_what_was_asked_for(history: History, source: Source) -> None:
    async def types(**asked: object) -> list[str]:
        found = await kept(history.settings, source, Selection(**asked))  # type: ignore[arg-type]
        names = [dict(r.headers).get("ce_type", b"-bare").decode().rpartition(".")[2] for r in found]
        return sorted(names)

    accepted, cancelled = "EvaluationCancelAccepted", "EvaluationCancelled"
    story = ["CancelEvaluation", "EvaluationArtifactsCleaned", accepted, cancelled]
    assert await types(evaluation=history.running) == story
    assert "-bare" in await types(actor="ci")
    assert {facts_of(r).actor for r in await kept(history.settings, source, Selection(actor="ci"))} == {"ci"}
    assert await types(decision="forbidden") == ["EvaluationCancelRejected"]
    told = await kept(history.settings, source, Selection(decision="accepted"))
    assert {facts_of(r).type for r in told} == {accepted}
    assert len({facts_of(r).id for r in told}) == 4  # one of them may be told again, for the duplicate
    assert await types(team="team-2") == ["CancelEvaluation"]
    assert set(await types(types=frozenset({cancelled}))) == {cancelled}
    everything = await kept(history.settings, source)
    moments = sorted(r.timestamp_ms for r in everything)
    middle = moments[len(moments) // 2]
    early = await kept(history.settings, source, Selection(before_ms=middle))
    late = await kept(history.settings, source, Selection(since_ms=middle))
    assert sorted(map(place, (*early, *late))) == sorted(map(place, everything))
    assert max(r.timestamp_ms for r in early) < middle == min(r.timestamp_ms for r in late)


async def test_json_lines_and_parquet_hold_the_records_whole(history: History) -> None:
    records = await kept(history.settings, "archive")
    lines, table = io.BytesIO(), io.BytesIO()
    await replayed(history.settings, "archive", JsonLinesOutput(lines))
    assert [json.loads(line)["offset"] for line in lines.getvalue().splitlines()] == [r.offset for r in records]
    parquet = ParquetOutput(table)
    await replayed(history.settings, "archive", parquet)
    parquet.close()
    rows = pq.read_table(io.BytesIO(table.getvalue())).to_pylist()
    assert [(r["topic"], r["offset"], r["key"], r["value"]) for r in rows] == [
        (r.topic, r.offset, r.key, r.value) for r in records
    ]
    assert [[(h["name"], h["value"]) for h in r["headers"]] for r in rows] == [
        [(name.encode("utf-8", "surrogateescape"), value) for name, value in r.headers] for r in records
    ]
    told = {r["type"]: r for r in rows}
    assert told["EvaluationCancelled"]["team"] == "team-1"
    assert told["DeadLetter"]["code"] in {"invalid_header", "id_reused"}


async def read_topic(settings: AuditSettings, topic: str, count: int) -> list[RawRecord]:
    found: list[RawRecord] = []
    async with (
        asyncio.timeout(60),
        AIOKafkaConsumer(
            topic, bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += map(RawRecord.of, records)
    return found


@pytest.fixture
async def target(environment: Stack) -> str:
    name = unique("replayed")
    await ensure_topics(environment.kafka, [TopicSpec(name=name, retention_ms=3_600_000)])
    return name


@pytest.mark.parametrize("source", SOURCES)
async def test_onto_a_topic_ids_and_sequence_stay_and_each_record_is_marked(
    history: History, target: str, source: Source
) -> None:
    settings = history.settings
    sender = KafkaEventProducer(client_settings=settings.kafka_client, deadline=20)
    output = TopicOutput(sender=sender, topic=target, rate=1e6, progress_file=None)
    await replayed(settings, source, output)
    await sender.close()
    originals = {place(r): r for r in await kept(settings, source)}
    copies = await read_topic(settings, target, len(originals))
    assert len(copies) == len(originals)
    for copy in copies:
        *headers, (mark, where) = copy.headers
        assert mark == REPLAYED
        topic, partition, offset = (where or b"").decode().rsplit("/", 2)
        original = originals.pop((topic, int(partition), int(offset)))
        assert (copy.key, copy.value) == (original.key, original.value)
        odd = [name for name, _ in headers if name == ODD_HEADERS]
        assert [h for h in headers if h[0] != ODD_HEADERS] == [h for h in original.headers if h[0].isascii()]
        assert len(odd) == any(not name.isascii() for name, _ in original.headers)
    assert originals == {}


class Interrupted(Exception):  # noqa: N818
    """In the middle of a replay."""


class StopsAfter(TopicOutput):
    left = 0

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:
        if self.left <= 0:
            raise Interrupted
        self.left -= 1
        await super().write(records, piece)


@pytest.mark.parametrize("source", SOURCES)
async def test_an_interrupted_replay_goes_on_where_it_was(
    history: History, target: str, tmp_path: Path, source: Source
) -> None:
    settings, noted = history.settings, tmp_path / "progress.json"
    sender = KafkaEventProducer(client_settings=settings.kafka_client, deadline=20)
    stops = 0
    while stops < 100:
        progress = ProgressFile(noted, {"source": source}, EVERYTHING)
        output = StopsAfter(sender=sender, topic=target, rate=1e6, progress_file=progress)
        output.left = 2
        try:
            await replayed(settings, source, output, resume=progress.load())
        except Interrupted:
            stops += 1
        else:
            break
    await sender.close()
    assert 0 < stops < 100
    originals = await kept(settings, source)
    copies = await read_topic(settings, target, len(originals))
    assert len({dict(r.headers)[REPLAYED] for r in copies}) == len(copies) == len(originals)
    with pytest.raises(Refusal, match="other_replay"):
        ProgressFile(noted, {"source": "another"}, EVERYTHING).load()
