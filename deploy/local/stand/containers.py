"""The stand from containers: Postgres, Kafka, k3s and MinIO, started with testcontainers.

The parts are what people run in production rather than what starts quickly. k3s brings API server and controllers; for
pods that behave as their labels say there is a node of KWOK's beside its own, as in `kubernetes_real`. Without a Docker
daemon it fails with one sentence. Nothing here can be killed and started again: tests that do so need the real stand.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.community.k3s import K3SContainer
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy

from deploy.local.errors import StandError
from deploy.local.kafka.broker import Kafka
from deploy.local.kubernetes.admin import ADMINISTRATOR_RULES, administrator, create_node, node_is_ready, with_rights
from deploy.local.kubernetes.cluster import NODE, Cluster
from deploy.local.kubernetes_real import STAGES
from deploy.local.processes.process import workspace
from deploy.local.services.postgres import SETTINGS, PostgresServer
from deploy.local.services.s3 import S3Server
from deploy.local.stand.given import given_cluster
from deploy.local.stand.stack import Stack

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "confluentinc/cp-kafka:7.6.0"
K3S_IMAGE = "rancher/k3s:v1.34.1-k3s1"
KWOK_IMAGE = "registry.k8s.io/kwok/kwok:v0.8.0"
MINIO_IMAGE = "minio/minio:RELEASE.2025-09-07T16-13-09Z"
NODE_PATIENCE = 120.0

_SECRET = "stand-secret"  # noqa: S105  for a server that ends with the run


@asynccontextmanager
async def containers() -> AsyncIterator[Stack]:
    """All parts, removed at the end; testcontainers' own helper removes them if this process is killed."""
    await asyncio.to_thread(_need_docker)
    async with workspace() as work:
        with ExitStack() as running:
            network = running.enter_context(Network())
            postgres, kafka, s3, cluster = await asyncio.gather(
                asyncio.to_thread(_postgres, running.enter_context),
                asyncio.to_thread(_kafka, running.enter_context),
                asyncio.to_thread(_s3, running.enter_context),
                asyncio.to_thread(_kubernetes, running.enter_context, network, work.directory),
            )
            await _join_node(cluster)
            cluster = await with_rights(cluster, work.directory, "administrator", ADMINISTRATOR_RULES)
            yield Stack(work=work, postgres=postgres, kafka=kafka, cluster=cluster, s3=s3, node=NODE)


def _need_docker() -> None:
    try:
        client = docker.from_env()
        try:
            client.ping()
        finally:
            client.close()
    except DockerException as error:
        raise StandError(
            "docker_missing", f"a stand of containers needs a Docker daemon; none answered: {error}"
        ) from error


Enter = Callable[[Any], Any]
"""Starts a container that the stand stops at its end."""


def _postgres(enter: Enter) -> PostgresServer:
    durability = " ".join(f"-c {name}={SETTINGS[name]}" for name in ("fsync", "full_page_writes", "max_connections"))
    image = PostgresContainer(POSTGRES_IMAGE, username="postgres", password=_SECRET, dbname="postgres", driver=None)
    server = enter(image.with_command(durability))
    return PostgresServer(host=server.get_container_host_ip(), port=server.get_exposed_port(5432), password=_SECRET)


def _kafka(enter: Enter) -> Kafka:
    broker = KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    for name in ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "TRANSACTION_STATE_LOG_MIN_ISR"):
        broker.with_env(f"KAFKA_{name}", "1")
    return Kafka(bootstrap_servers=enter(broker).get_bootstrap_server(), kind="given")


def _s3(enter: Enter) -> S3Server:
    server = DockerContainer(MINIO_IMAGE).with_command("server /data").with_exposed_ports(9000)
    server.with_envs(MINIO_ROOT_USER="stand", MINIO_ROOT_PASSWORD=_SECRET)
    server.waiting_for(HttpWaitStrategy(9000, "/minio/health/live"))
    started = enter(server)
    url = f"http://{started.get_container_host_ip()}:{started.get_exposed_port(9000)}"
    return S3Server(endpoint_url=url, access_key="stand", secret_key=_SECRET, region="us-east-1")


def _kubernetes(enter: Enter, network: Network, directory: Path) -> Cluster:
    server = enter(K3SContainer(K3S_IMAGE).with_network(network).with_network_aliases("k3s"))
    kubeconfig, inside = directory / "kubeconfig-k3s", directory / "kubeconfig-k3s-inside"
    kubeconfig.write_text(server.config_yaml())
    url = f"https://{server.get_container_host_ip()}:{server.get_exposed_port(K3SContainer.KUBE_SECURE_PORT)}"
    inside.write_text(server.config_yaml().replace(url, "https://k3s:6443"))
    kubelets = DockerContainer(KWOK_IMAGE).with_network(network)
    kubelets.with_volume_mapping(str(inside), "/kubeconfig").with_volume_mapping(str(STAGES), "/stages.yaml")
    # k3s, unlike our own API server, looks after its nodes: this one has to renew a lease.
    arguments = ("--kubeconfig=/kubeconfig", "--config=/stages.yaml", f"--manage-single-node={NODE}")
    enter(kubelets.with_command([*arguments, "--node-lease-duration-seconds=40"]))
    return given_cluster(kubeconfig, directory)


async def _join_node(cluster: Cluster) -> None:
    async with administrator(cluster) as client, asyncio.timeout(NODE_PATIENCE):
        await create_node(client, NODE)
        while not await node_is_ready(client, NODE):  # noqa: ASYNC110  asked of a server
            await asyncio.sleep(0.5)
