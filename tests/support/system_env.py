"""The whole system for end-to-end tests: its parts, and the steps and checks that the tests share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deploy.local.kubernetes.admin import administrator
from deploy.local.play.listener import Listener
from deploy.local.play.orchestrator import Evaluation, Orchestrator
from deploy.local.stand.system import System, start_consumer
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.schemas.commands import RequestedBy
from tests.support.waiting import until

ADA = RequestedBy(kind="user", id="ada", team_ids=("blue",))
PATIENCE = 100.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class SystemEnv:
    """The running system, and clients to use it and to break it."""

    system: System
    listener: Listener
    team: Orchestrator
    publisher: Publisher

    async def running(self, count: int, *, ends_after: int = 0) -> list[Evaluation]:
        """Start evaluations and wait until their Jobs run."""

        async def one() -> Evaluation:
            return (await self.team.run(await self.team.register("blue"), ends_after=ends_after))[0]

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def cancel(self, evaluations: Sequence[Evaluation], *, cleanup: bool = False) -> None:
        for evaluation in evaluations:
            await self.publisher.cancel(evaluation.id, ADA, cleanup_artifacts=cleanup)

    async def all_cancelled_once(self, evaluations: Sequence[Evaluation]) -> None:
        """Wait for all outcomes. Then check that none is lost or doubled, and that no pod is left."""
        wanted = {evaluation.id for evaluation in evaluations}

        def there() -> bool:
            return wanted <= {h.event.evaluation_id for h in self.listener.events if h.type == "EvaluationCancelled"}

        await self.listener.until(there, f"EvaluationCancelled of all {len(wanted)}", within=PATIENCE)
        await self.listener.settled()
        ids: dict[tuple[UUID, str], set[str]] = {}
        for heard in self.listener.events:
            ids.setdefault((heard.event.evaluation_id, heard.type), set()).add(heard.envelope.id)
        for identity in wanted:
            assert len(ids[identity, "EvaluationCancelAccepted"]) == 1
            assert len(ids[identity, "EvaluationCancelled"]) == 1
        connection = await asyncpg.connect(self.system.dsn)
        statuses = Counter(
            row["status"]
            for row in await connection.fetch(
                "SELECT status FROM evaluation_cancel.evaluations WHERE id = ANY ($1)", list(wanted)
            )
        )
        await connection.close()
        assert statuses == {"cancelled": len(wanted)}
        assert not await self.labelled_pods() & {str(identity) for identity in wanted}

    async def labelled_pods(self) -> set[str]:
        """The ids of evaluations that have a pod in the cluster."""
        async with administrator(self.system.stack.cluster) as client:
            from kubernetes_asyncio.client import CoreV1Api  # noqa: PLC0415  # slow to load

            pods = await CoreV1Api(client).list_namespaced_pod(self.system.namespace)
        return {(pod.metadata.labels or {}).get("evaluations.vijil.ai/evaluation-id", "") for pod in pods.items}

    async def held_by(self, worker: str) -> int:
        """The number of open cancellations that a consumer has claimed."""
        connection = await asyncpg.connect(self.system.dsn)
        count: int = await connection.fetchval(
            "SELECT count(*) FROM evaluation_cancel.cancellations WHERE claimed_by = $1 AND ended_at IS NULL", worker
        )
        await connection.close()
        return count

    async def restart(self, name: str) -> None:
        """Start a consumer in the place of a dead one, and wait until it is ready."""
        consumer = start_consumer(self.system, name)
        self.system.consumers[name] = consumer
        await consumer.child.ready(consumer.is_ready)

    async def healthy(self) -> None:
        """Wait until all consumers are ready."""
        for consumer in self.system.consumers.values():
            await until(consumer.is_ready, f"{consumer.name} is ready again", within=PATIENCE)
