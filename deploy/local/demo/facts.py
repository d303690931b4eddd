"""What is to be seen in Postgres, the cluster and the bucket at one moment, with clients of the demo's own."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aioboto3
import asyncpg
from kubernetes_asyncio.client import BatchV1Api, CoreV1Api

from deploy.local.kubernetes.admin import administrator
from deploy.local.stand.system import BUCKET, System
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL

Row = Any
"""A row of the driver's: a mapping in all that is needed of it."""
Rows = Mapping[UUID, Sequence[Row]]

STATUSES = "SELECT id, status FROM evaluation_cancel.evaluations"
COMMANDS = """
SELECT evaluation_id, source, id, decision, code FROM evaluation_cancel.commands ORDER BY received_at, "offset"
"""
CANCELLATIONS = "SELECT evaluation_id, phase, attempts FROM evaluation_cancel.cancellations ORDER BY accepted_at"
WAITING = """
SELECT (SELECT count(*) FROM evaluation_cancel.commands WHERE decision IS NULL) AS commands,
       (SELECT count(*) FROM evaluation_cancel.cancellations WHERE ended_at IS NULL) AS cancellations,
       (SELECT count(*) FROM evaluation_cancel.cancellations WHERE cleanup_state = 'pending') AS cleanups,
       (SELECT count(*) FROM evaluation_cancel.outbox) AS outbox
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """By evaluation."""

    statuses: Mapping[UUID, str]
    commands: Rows
    cancellations: Rows
    waiting: Mapping[str, int]
    jobs: Mapping[UUID, int]
    pods: Mapping[UUID, int]
    keys: Mapping[UUID, Sequence[str]]
    uploads: Mapping[UUID, int]


async def look_at_rest(running: System, *, within: float = 30) -> Facts:
    """What is to be seen once nothing waits any more, or at the latest after so many seconds."""
    deadline = time.monotonic() + within
    while True:
        facts = await look(running)
        if not any(facts.waiting.values()) or time.monotonic() > deadline:
            return facts
        await asyncio.sleep(0.2)


async def look(running: System) -> Facts:
    connection = await asyncpg.connect(running.dsn)
    try:
        statuses = {row["id"]: row["status"] for row in await connection.fetch(STATUSES)}
        commands = _by_evaluation(await connection.fetch(COMMANDS))
        cancellations = _by_evaluation(await connection.fetch(CANCELLATIONS))
        waiting = dict(await connection.fetchrow(WAITING) or {})
    finally:
        await connection.close()
    async with administrator(running.stack.cluster) as client:
        jobs = await BatchV1Api(client).list_namespaced_job(running.namespace)
        pods = await CoreV1Api(client).list_namespaced_pod(running.namespace)
    keys, uploads = await _bucket(running)
    return Facts(
        statuses=statuses,
        commands=commands,
        cancellations=cancellations,
        waiting=waiting,
        jobs=_labelled(jobs.items),
        pods=_labelled(pods.items),
        keys=keys,
        uploads=uploads,
    )


def _by_evaluation(rows: Sequence[Row]) -> Rows:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["evaluation_id"]].append(row)
    return found


def _labelled(items: Sequence[Any]) -> Mapping[UUID, int]:
    return Counter(UUID(item.metadata.labels[EVALUATION_LABEL]) for item in items)


async def _bucket(running: System) -> tuple[Mapping[UUID, Sequence[str]], Mapping[UUID, int]]:
    s3 = running.stack.s3
    session = aioboto3.Session(s3.access_key, s3.secret_key, region_name=s3.region)
    keys: dict[UUID, list[str]] = defaultdict(list)
    async with session.client("s3", endpoint_url=s3.endpoint_url) as client:
        async for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for stored in page.get("Contents", []):
                keys[_owner(stored["Key"])].append(stored["Key"])
        answer = await client.list_multipart_uploads(Bucket=BUCKET)
    return keys, Counter(_owner(upload["Key"]) for upload in answer.get("Uploads", []))


def _owner(key: str) -> UUID:
    return UUID(key.split("/")[1])
