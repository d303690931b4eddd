"""The benchmark's Postgres and Kafka, with fresh topics and a fresh database for each run.

Kafka is a real one when Java and Maven are there. Postgres is durable here, unlike in tests: commits wait for the
disk, because waiting for it is part of what is compared.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from deploy.local.kafka.broker import Kafka, ensure_topics
from deploy.local.kafka.memory import kafka_memory
from deploy.local.kafka.real import kafka_real
from deploy.local.processes.part import Part
from deploy.local.processes.process import Child, Workspace, workspace
from deploy.local.services.postgres import Postgres, postgres
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from evaluation_cancel.schemas.topics import Topics

_TEMPLATE = "bench"
DURABLE = {"fsync": "on", "full_page_writes": "on"}


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchEnvironment:
    work: Workspace
    postgres: Postgres
    kafka: Kafka

    async def fresh_database(self) -> str:
        """With our schema, never analysed."""
        return await self.postgres.create_database(f"bench-{uuid4().hex[:8]}", template=_TEMPLATE)

    async def fresh_topics(self) -> Topics:
        topics = Topics(f"{uuid4().hex[:8]}-")
        await ensure_topics(self.kafka, topics.specs())
        return topics

    @property
    def isolation_level(self) -> str:
        return "read_uncommitted" if self.kafka.kind == "memory" else "read_committed"

    def pids(self) -> dict[str, int]:
        """Of the parts that run on this machine as ours."""
        pids = {"postgres": _pid(self.postgres)}
        if isinstance(self.kafka, Part):
            pids["kafka"] = _pid(self.kafka)
        return pids


def _pid(part: Part) -> int:
    assert isinstance(part.child, Child)
    return part.child.pid


def default_kafka() -> str:
    return "real" if shutil.which("java") and shutil.which("mvn") else "memory"


@asynccontextmanager
async def bench_environment(kafka: str) -> AsyncIterator[BenchEnvironment]:
    broker = kafka_real if kafka == "real" else kafka_memory
    async with workspace() as work, postgres(work, settings=DURABLE) as server, broker(work) as running:
        await schema.upgrade(PostgresLogin.at(await server.create_database(_TEMPLATE)))
        yield BenchEnvironment(work=work, postgres=server, kafka=running)
