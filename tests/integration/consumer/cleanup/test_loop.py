"""The cleanup loop on an S3 API: many at once, an outage in between, and a delete that is cut off half-way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from deploy.local.processes.process import workspace
from deploy.local.services.s3 import s3
from evaluation_cancel.consumer.cleanup.loop import Cleanup, CleanupLimits
from evaluation_cancel.consumer.domain.cleanups import ClaimedCleanup
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.s3.artifacts import S3Artifacts
from evaluation_cancel.consumer.s3.connect import connect
from evaluation_cancel.consumer.s3.port import Artifacts
from tests.support.consumer.objects import access, put
from tests.support.fakes.artifacts import MemoryArtifacts
from tests.support.fakes.cleanups import MemoryCleanups
from tests.support.waiting import until

LIMITS = CleanupLimits(poll=0.05, lease=timedelta(seconds=60))


def claim(bucket: str, evaluation_id: UUID | None = None, **changes: Any) -> ClaimedCleanup:
    evaluation_id = evaluation_id or uuid4()
    prefix = f"evals/{evaluation_id}/"
    given: dict[str, Any] = {
        "id": uuid4(),
        "evaluation_id": evaluation_id,
        "team_id": "team",
        "attempt": 0,
        "bucket": bucket,
        "prefix": prefix,
        "request_key": f"{prefix}request.json",
        "deadline_at": datetime.now(UTC) + timedelta(hours=1),
        "deadline": 0.0,
    }
    return ClaimedCleanup(**(given | changes))


@asynccontextmanager
async def cleanup(
    store: MemoryCleanups, artifacts: Artifacts, limits: CleanupLimits = LIMITS
) -> AsyncIterator[Cleanup]:
    loop = Cleanup(store=store, artifacts=artifacts, worker="test", limits=limits)
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        if not loop._stopping:  # one that was told to stop has to end by itself
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def all_cleaned(store: MemoryCleanups) -> None:
    await until(lambda: all(row.cleaned for row in store.rows.values()), "everything is cleaned")


async def keys_in(artifacts: Artifacts, bucket: str) -> set[str]:
    return {stored.key async for page in artifacts.objects(bucket, "") for stored in page}


async def test_the_artifacts_of_many_evaluations_go_and_their_request_files_stay(
    artifacts: S3Artifacts, s3_bucket: str, s3_client: Any
) -> None:
    claims = [claim(s3_bucket) for _ in range(20)]
    for each in claims:
        await put(s3_client, s3_bucket, f"{each.prefix}request.json", f"{each.prefix}out/a", f"{each.prefix}out/b")
    await put(s3_client, s3_bucket, "evals/stranger")
    store = MemoryCleanups(*claims)
    async with cleanup(store, artifacts):
        await all_cleaned(store)
    left = await keys_in(artifacts, s3_bucket)
    assert left == {"evals/stranger"} | {each.request_key for each in claims}
    for row in store.rows.values():
        assert row.cleaned is not None
        assert (row.cleaned.state, row.cleaned.report.deleted_count) == ("done", 2)


async def test_an_unreachable_store_is_waited_for() -> None:
    async with workspace() as work, s3(work) as server, connect(access(server)) as artifacts:
        await server.stop()
        each = claim("bucket")
        store = MemoryCleanups(each)
        async with cleanup(store, artifacts):
            row = store.rows[each.id]
            await until(lambda: bool(row.history), "it was tried in vain")
            assert row.cleaned is None
            await server.start()
            # moto forgets its buckets when it ends.
            await artifacts._client.create_bucket(Bucket="bucket")
            await artifacts._client.put_object(Bucket="bucket", Key=f"{each.prefix}x", Body=b"")
            row.due = 0.0
            await until(lambda: row.cleaned is not None, "it was cleaned after all")
        assert await keys_in(artifacts, "bucket") == set()


async def test_an_unreachable_store_ends_as_partial_after_the_deadline() -> None:
    each = claim("bucket", deadline_at=datetime.now(UTC) - timedelta(seconds=1))
    away = MemoryArtifacts({})
    away.faults = {"uploads": [TemporaryError("unreachable", "away")]}
    store = MemoryCleanups(each)
    async with cleanup(store, away):
        await all_cleaned(store)
    cleaned = store.rows[each.id].cleaned
    assert cleaned is not None
    assert cleaned.state == "partial"
    assert cleaned.report.failed_codes == {"deadline": 1, "unreachable": 1}


async def test_a_stop_writes_the_outcomes_in_flight() -> None:
    each = claim("bucket")
    slow = _Slow({f"{each.prefix}x": 1})
    store = MemoryCleanups(each)
    async with cleanup(store, slow) as loop:
        await slow.reached.wait()
        loop.stop()
        slow.go.set()
        await until(lambda: store.rows[each.id].cleaned is not None, "it is written")


async def test_a_cleanup_that_raises_is_tried_again_and_affects_no_other() -> None:
    good, bad = claim("bucket"), claim("bucket")
    artifacts = _Broken({f"{good.prefix}x": 1}, bad.prefix or "")
    store = MemoryCleanups(bad, good)
    async with cleanup(store, artifacts, replace(LIMITS, at_once=1)):
        await until(lambda: store.rows[good.id].cleaned is not None, "the good one is cleaned")
    assert [getattr(outcome, "code", None) for outcome in store.rows[bad.id].history] == ["internal_error"]


class _Slow(MemoryArtifacts):
    def __init__(self, stored: dict[str, int]) -> None:
        super().__init__(stored)
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Any]]:
        self.reached.set()
        await self.go.wait()
        async for page in super().uploads(bucket, prefix):
            yield page


class _Broken(MemoryArtifacts):
    def __init__(self, stored: dict[str, int], bad: str) -> None:
        super().__init__(stored)
        self._bad = bad

    async def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Any]]:
        if prefix == self._bad:
            raise RuntimeError("a mistake of ours")
        async for page in super().uploads(bucket, prefix):
            yield page
