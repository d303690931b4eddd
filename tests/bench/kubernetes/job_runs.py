"""The runs of `tests/bench/jobs.py`: Jobs are ended by a plain client or by the consumer, or hang until let go.

Nothing is printed or judged here, but each run looks by itself whether what is said to have ended is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from kubernetes_asyncio.client import ApiClient, CoreV1Api

from deploy.local.kubernetes.admin import administrator, create_namespace
from deploy.local.kubernetes_real.cluster import RealKubernetes
from deploy.local.play.orchestrator import Evaluation, job
from deploy.local.processes.part import Part
from deploy.local.stand.stack import stack
from deploy.local.stand.system import CLUSTER, CONSUMERS, System, system
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs
from tests.bench.environment import DURABLE
from tests.bench.kubernetes import raw_jobs
from tests.bench.kubernetes.running_jobs import faults_of_jobs, run_jobs
from tests.bench.pipeline.load import Load, make_load, register, send
from tests.support.waiting import until

_RAW_NAMESPACE = "raw"
_BEHAVIOUR = "stand.evaluation-cancel/pod"
_LET_GO_AT_ONCE = 32
_ENDED = """
SELECT count(*) AS ended, extract(epoch FROM max(ended_at))::float8 AS last
FROM evaluation_cancel.cancellations WHERE evaluation_id = ANY ($1) AND phase = 'cancelled'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """The running system with one consumer, and clients of the bench's own."""

    running: System
    client: ApiClient
    jobs: KubernetesJobs
    postgres: asyncpg.Connection
    sent: list[Load] = field(default_factory=list)
    """All commands so far."""

    def pids(self) -> Mapping[str, int]:
        """Of the parts whose work is compared."""
        parts = self.running.stack
        measured: list[object] = [parts.postgres, parts.kafka, parts.kubernetes]
        if isinstance(parts.kubernetes, RealKubernetes):
            kubernetes = parts.kubernetes
            measured += [kubernetes.apiserver, kubernetes.etcd, kubernetes.controllers, kubernetes.kwok]
        pids = {part.name: part.child.pid for part in measured if isinstance(part, Part) and part.child is not None}
        return {"consumer": self.running.consumers[CONSUMERS[0]].child.pid, **pids}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A run about to begin. `end` ends its Jobs and gives the seconds that took."""

    bench: Bench
    namespace: str
    uids: Sequence[str]
    end: Callable[[], Awaitable[float]]

    async def faults(self) -> list[str]:
        return await faults_of_jobs(self.bench.client, self.namespace, self.uids)


@asynccontextmanager
async def running_bench(kafka: str, kubernetes: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as opened:
        parts = await opened.enter_async_context(stack(kafka=kafka, kubernetes=kubernetes, postgres_settings=DURABLE))
        running = await opened.enter_async_context(system(parts))
        await running.consumers[CONSUMERS[1]].child.stop()
        client = await opened.enter_async_context(administrator(parts.cluster))
        await create_namespace(client, _RAW_NAMESPACE)
        access = ClusterAccess(kubeconfig=parts.cluster.kubeconfig, disable_strict_ssl_verification=True)
        jobs = await connect(access)
        opened.push_async_callback(jobs.close)
        postgres = await asyncpg.connect(running.dsn)
        opened.push_async_callback(postgres.close)
        yield Bench(running=running, client=client, jobs=jobs, postgres=postgres)


async def raw(bench: Bench, count: int) -> Prepared:
    """By a plain client: from the first DELETE until nothing is left."""
    # Without our label they are not the consumer's business, nor that of its watches.
    bodies = [_body(bench, evaluation, labels={}) for evaluation in make_load(count).evaluations]
    uids = await run_jobs(bench.client, _RAW_NAMESPACE, bodies)
    made = [(body["metadata"]["name"], uid) for body, uid in zip(bodies, uids, strict=True)]

    async def end() -> float:
        began = time.perf_counter()
        await raw_jobs.end_all(bench.jobs, _RAW_NAMESPACE, made)
        return time.perf_counter() - began

    return Prepared(bench=bench, namespace=_RAW_NAMESPACE, uids=uids, end=end)


async def ours(bench: Bench, count: int) -> Prepared:
    """By the consumer: from the first command on its way to Kafka until the last outcome in Postgres."""
    load, uids = await _evaluations(bench, count)

    async def end() -> float:
        began = time.time()
        await _send(bench, load)
        return await _all_ended(bench, load) - began

    return Prepared(bench=bench, namespace=bench.running.namespace, uids=uids, end=end)


@asynccontextmanager
async def hanging(bench: Bench, count: int, faults: list[str]) -> AsyncIterator[None]:
    """So many cancellations whose pods will not end. Afterwards they are let go, and must end like all others."""
    load, uids = await _evaluations(bench, count, behaviour="stuck")
    await _send(bench, load)

    async def all_deleted() -> bool:
        found = await bench.jobs.labelled()
        return {each.uid for each in found if each.deletion_requested_at is not None} >= set(uids)

    await until(all_deleted, "all of those that hang are being deleted", every=0.3, within=raw_jobs.LIMIT)
    yield
    early = (await bench.postgres.fetchrow(_ENDED, load.evaluations))["ended"]
    faults += [f"{early} cancellations are said to have ended whose pods hang"] * bool(early)
    await _let_go(bench, set(uids))
    await _all_ended(bench, load)
    faults += await faults_of_jobs(bench.client, bench.running.namespace, uids)


async def _let_go(bench: Bench, uids: set[str]) -> None:
    """As an operator does it with pods of a lost node."""
    pods, namespace, gate = CoreV1Api(bench.client), bench.running.namespace, asyncio.Semaphore(_LET_GO_AT_ONCE)

    async def delete(name: str) -> None:
        async with gate:
            await pods.delete_namespaced_pod(name, namespace, grace_period_seconds=0, _preload_content=False)

    found = await bench.jobs.pods(namespace, "")
    await asyncio.gather(*(delete(pod.name) for pod in found if pod.owner_uid in uids))


async def _evaluations(bench: Bench, count: int, *, behaviour: str = "runs") -> tuple[Load, list[str]]:
    """Running evaluations and the uids of their Jobs."""
    load, namespace = make_load(count), bench.running.namespace
    bodies = [_body(bench, evaluation, labels={_BEHAVIOUR: behaviour}) for evaluation in load.evaluations]
    uids = await run_jobs(bench.client, namespace, bodies)
    jobs = [(CLUSTER, namespace, body["metadata"]["name"], uid) for body, uid in zip(bodies, uids, strict=True)]
    await register(bench.running.dsn, load, jobs)
    return load, uids


def _body(bench: Bench, evaluation: UUID, *, labels: Mapping[str, str]) -> dict[str, Any]:
    """With the evaluation's own label only if there are others."""
    body = job(Evaluation(id=evaluation, team="bench"), pods=1, ends_after=0, node=bench.running.stack.node)
    for metadata in (body["metadata"], body["spec"]["template"]["metadata"]):
        metadata["labels"] = {**metadata["labels"], **labels} if labels else {}
    return body


async def _send(bench: Bench, load: Load) -> None:
    bench.sent.append(load)
    await send(bench.running.stack.kafka.bootstrap_servers, bench.running.topics.commands, load)


async def _all_ended(bench: Bench, load: Load) -> float:
    """When the last of them ended, in seconds since 1970."""

    async def last() -> float | None:
        row = await bench.postgres.fetchrow(_ENDED, load.evaluations)
        return float(row["last"]) if row["ended"] >= len(load.evaluations) else None

    return await until(last, "all are cancelled", every=0.1, within=raw_jobs.LIMIT) or 0.0
