"""All parts of the stand together: started at once, ended in reverse, nothing left behind.

Which Kafka and which Kubernetes is said by a word or an address: see `stack`. What runs on the parts (topics, the
database's schema, consumers) belongs to the callers; they start their child processes in `work`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StandError
from deploy.local.kafka.broker import Kafka
from deploy.local.kafka.memory import kafka_memory
from deploy.local.kafka.real import kafka_real
from deploy.local.kubernetes.cluster import NODE, Cluster
from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes, kubernetes_kubelet
from deploy.local.kubernetes_real.cluster import RealKubernetes, kubernetes_real
from deploy.local.kubernetes_simulated.child import SimulatedKubernetes, kubernetes_simulated
from deploy.local.processes.process import Workspace, workspace
from deploy.local.s3_real.server import s3_real
from deploy.local.services.postgres import PostgresServer, postgres
from deploy.local.services.s3 import S3Server, s3
from deploy.local.stand.given import given_cluster, given_kafka

Kubernetes = RealKubernetes | KubeletKubernetes | SimulatedKubernetes


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    work: Workspace
    postgres: PostgresServer
    kafka: Kafka
    cluster: Cluster
    s3: S3Server
    node: str | None
    """The node a pod has to name in order to run; None where there is a scheduler."""
    kubernetes: Kubernetes | None = None
    """What is behind a cluster of ours: programs to be killed and paused, or knobs to be turned."""


@asynccontextmanager
async def stack(
    *,
    kafka: str = "memory",
    kubernetes: str = "simulated",
    objects: str = "moto",
    postgres_settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """`kafka`: memory, real or bootstrap servers. `kubernetes`: simulated, real, kubelet or a kubeconfig.

    `objects`: moto or real, the S3 server.
    """
    async with workspace() as work, AsyncExitStack() as parts:
        try:
            async with asyncio.TaskGroup() as group:
                database = group.create_task(parts.enter_async_context(postgres(work, settings=postgres_settings)))
                broker = group.create_task(parts.enter_async_context(_kafka(work, kafka)))
                cluster = group.create_task(parts.enter_async_context(_kubernetes(work, kubernetes)))
                store = group.create_task(parts.enter_async_context(_objects(work, objects)))
        except ExceptionGroup as failed:
            raise _first(failed) from failed
        ours = cluster.result()
        yield Stack(
            work=work,
            postgres=database.result(),
            kafka=broker.result(),
            cluster=ours if isinstance(ours, Cluster) else ours.cluster,
            s3=store.result(),
            node=None if isinstance(ours, Cluster | KubeletKubernetes) else NODE,
            kubernetes=None if isinstance(ours, Cluster) else ours,
        )


def _kafka(work: Workspace, which: str) -> AbstractAsyncContextManager[Kafka]:
    if which == "memory":
        return kafka_memory(work)
    if which == "real":
        return kafka_real(work)
    return nullcontext(given_kafka(which))


def _kubernetes(work: Workspace, which: str) -> AbstractAsyncContextManager[Kubernetes | Cluster]:
    if which == "simulated":
        return kubernetes_simulated(work)
    if which == "real":
        return kubernetes_real(work)
    if which == "kubelet":
        return kubernetes_kubelet(work)
    return nullcontext(given_cluster(Path(which).expanduser(), work.directory))


def _objects(work: Workspace, which: str) -> AbstractAsyncContextManager[S3Server]:
    return s3_real(work) if which == "real" else s3(work)


def _first(failed: ExceptionGroup[Exception]) -> Exception:
    """What the person at the terminal should read: the sentence of the first part that said one."""
    told, _ = failed.split(StandError)
    return (told or failed).exceptions[0]
