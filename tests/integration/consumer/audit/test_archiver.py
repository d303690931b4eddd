"""The archiver on a real broker and an S3 store: killed at any time, side by side with another, on odd records."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore, probe
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.verify.chain_check import ChainWalk
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.audit.history import archive_once, audit_settings, new_bucket
from tests.support.schemas.odd_records import send_batch
from tests.support.waiting import until

VALUE = b"v" * 300


@pytest.fixture
async def settings(
    environment: Stack, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AuditSettings:
    """An archive of fresh topics, in small objects."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", environment.s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", environment.s3.secret_key)
    return audit_settings(environment, "postgresql://127.0.0.1:1/none", topics, await new_bucket(environment), tmp_path)


async def produce(settings: AuditSettings, count: int, **how: Any) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, **how) as producer:
        for number in range(count):
            await producer.send(settings.topics.events, VALUE, key=b"%d" % number)
        await producer.flush()


async def archived(settings: AuditSettings) -> list[RawRecord]:
    """All records in the archive of the events topic, after its chains were found to be whole."""
    findings, found = Findings(), []
    async with wiring.store(settings) as store:
        for partition in range(12):
            walk = ChainWalk(store, wiring.trusted_keys(settings), findings, on_object=lambda _: None)
            async for verified in walk.walk(settings.topics.events, partition):
                found += verified.records
    assert findings.defects == []
    return found


async def test_what_kafka_holds_is_archived_whole(settings: AuditSettings) -> None:
    odd: Any = [
        (None, []),
        (b"\xff\xfe", [("x-\udcff", b"\xfe"), ("none", None), ("x", b"")]),
        (b"plain", [("x", b"1")]),
    ]
    await send_batch(settings.kafka_bootstrap_servers, settings.topics.events, odd)
    await archive_once(settings)
    found = await archived(settings)
    assert [(r.value, list(r.headers)) for r in found] == odd
    async with wiring.kafka(settings) as log:
        log.read_from({(settings.topics.events, 0): 0})
        read = await until(lambda: log.read(1.0))
    assert list(read[0].records) == found


async def test_two_archivers_at_once_leave_neither_gap_nor_overlap(settings: AuditSettings) -> None:
    await produce(settings, 200)
    larger = settings.model_copy(update={"audit_object_bytes": 3000})
    await asyncio.gather(*(archive_once(s) for s in (settings, larger)))
    await produce(settings, 200)
    await asyncio.gather(*(archive_once(s) for s in (larger, settings)))
    found = await archived(settings)
    assert len(found) == 400
    assert len({(r.partition, r.offset) for r in found}) == 400


async def test_an_archiver_that_is_killed_again_and_again_leaves_a_whole_archive(settings: AuditSettings) -> None:
    for _ in range(3):
        await produce(settings, 100)  # each has something to do, however much the one before got done
        child = await started(settings)
        # One client for all looks: making one takes 60 ms of CPU, which the archiver needs.
        async with wiring.store(settings) as store:
            before = await count_links(store)
            await until(lambda store=store, before=before: _more_than(store, before), "it has written a link")
        child.send_signal(signal.SIGKILL)
        await child.wait()
    await produce(settings, 100)
    child = await started(settings)
    await until(lambda: _holds(settings, 400), "all is archived", every=0.5)
    child.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(child.wait(), 30) == 0
    assert len({(r.partition, r.offset) for r in await archived(settings)}) == 400


async def started(settings: AuditSettings, stderr: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
    """`audit archive` in a process of its own."""
    prefix = "EVALUATION_CANCEL_"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "KAFKA_ISOLATION_LEVEL": settings.kafka_isolation_level,
        "TOPIC_PREFIX": settings.topic_prefix,
        "S3_ENDPOINT_URL": settings.s3_endpoint_url or "",
        "S3_REGION": settings.s3_region or "",
        "S3_PATH_STYLE": "true",
        "AUDIT_BUCKET": settings.audit_bucket or "",
        "AUDIT_PREFIX": settings.audit_prefix,
        "AUDIT_SIGNING_KEY_FILE": str(settings.audit_signing_key_file),
        "AUDIT_PUBLIC_KEY_FILES": f'["{settings.audit_public_key_files[0]}"]',
        "AUDIT_OBJECT_BYTES": "1024",
        "AUDIT_OBJECT_AGE": "0.5",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evaluation_cancel.consumer", "audit", "archive"),
        env={**os.environ, **{prefix + name: value for name, value in environment.items()}},
        stderr=stderr,
    )


async def count_links(store: ObjectStore) -> int:
    return len([key async for key in store.keys("chain/")])


async def _more_than(store: ObjectStore, links: int) -> bool:
    return await count_links(store) > links


async def _holds(settings: AuditSettings, count: int) -> bool:
    return len(await archived(settings)) == count


async def test_the_store_of_the_stand_keeps_what_is_there(settings: AuditSettings) -> None:
    async with wiring.store(settings) as store:
        await probe(store)
        assert await store.create("key", b"first")
        assert not await store.create("key", b"second")
        assert await store.get("key") == b"first"
        assert await store.get("absent") is None
        assert [key async for key in store.keys("k")] == ["key"]
        assert await store.any_key("k", "kex")
        assert not await store.any_key("k", "key")


@asynccontextmanager
async def careless_s3() -> AsyncIterator[str]:
    """A store that knows nothing of conditions: what is put is there. Gives its address."""
    objects: dict[str, bytes] = {}

    async def put(request: web.Request) -> web.Response:
        objects[request.path] = await request.read()
        return web.Response()

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=objects[request.path])

    app = web.Application()  # for a client that waits for 100 Continue before it puts
    app.add_routes([web.put("/{key:.*}", put), web.get("/{key:.*}", get)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_archiver_does_not_begin_on_a_store_that_overwrites(settings: AuditSettings) -> None:
    async with careless_s3() as address:
        child = await started(settings.model_copy(update={"s3_endpoint_url": address}), stderr=asyncio.subprocess.PIPE)
        _, told = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 2
    assert "conditional_put_ignored" in told.decode()


@pytest.mark.real
async def test_control_records_and_aborted_ones_are_named_as_absent(settings: AuditSettings) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, transactional_id=settings.topic_prefix
    ) as producer:
        for number, kept in enumerate((True, False, True, False)):
            await producer.begin_transaction()
            await producer.send_and_wait(settings.topics.events, b"%d" % number, partition=0)
            await (producer.commit_transaction() if kept else producer.abort_transaction())
    await archive_once(settings)
    await archive_once(settings)
    assert [(r.offset, r.value) for r in await archived(settings)] == [(0, b"0"), (4, b"2")]
