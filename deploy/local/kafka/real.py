"""A real Apache Kafka broker (KRaft, one node) on loopback.

It is made for faults: it can be killed, stopped, paused and started again on the same port with its data. Without Java
or Maven it fails with a sentence that says so (`jars.py`).
"""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StandError
from deploy.local.kafka.broker import Kafka
from deploy.local.kafka.jars import KafkaPrograms, kafka_programs
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, free_port, is_open
from deploy.local.processes.process import Workspace, workspace

_ONE = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "offsets.topic.num.partitions",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.num.partitions",
)


@dataclass(kw_only=True, eq=False, repr=False)
class RealKafka(Kafka, Part):
    programs: KafkaPrograms
    properties: Path
    jvm: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return self.programs.command("kafka.Kafka", self.properties, jvm=self.jvm)

    async def answers(self) -> bool:
        return await is_open(int(self.bootstrap_servers.rpartition(":")[2]))


async def prepare_kafka() -> KafkaPrograms:
    """The jars and the class archive, made if they are not in the cache."""
    return await kafka_programs(_record_classes)


@asynccontextmanager
async def kafka_real(
    work: Workspace,
    *,
    settings: Mapping[str, str] | None = None,
    format_arguments: Sequence[str] = (),
    jvm: tuple[str, ...] = (),
) -> AsyncIterator[RealKafka]:
    """A started broker, and none at the end.

    `settings` go into its server.properties above ours, `jvm` are arguments of Java.
    """
    programs = await prepare_kafka()
    broker = await _prepare(work, programs, settings or {}, format_arguments)
    broker.jvm = jvm
    await broker.start()
    try:
        yield broker
    finally:
        broker.kill()


async def _prepare(
    work: Workspace, programs: KafkaPrograms, settings: Mapping[str, str], format_arguments: Sequence[str]
) -> RealKafka:
    home = work.directory / "kafka"
    home.mkdir()
    client, controller = free_port(), free_port()
    properties = home / "server.properties"
    properties.write_text(_properties({**_settings(home, client, controller), **settings}))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # With `=`: an id may begin with a dash.
    arguments = ("format", "--ignore-formatted", f"--cluster-id={cluster}", "-c", str(properties), *format_arguments)
    await work.run("kafka-format", programs.command("kafka.tools.StorageTool", *arguments), limit=120)
    return RealKafka(
        work=work,
        name="kafka",
        bootstrap_servers=f"{LOOPBACK}:{client}",
        kind="real",
        programs=programs,
        properties=properties,
    )


def _settings(home: Path, client: int, controller: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"CLIENT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{client}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "log.dirs": str(home / "data"),
        "log.segment.bytes": "67108864",
        "log.cleaner.dedupe.buffer.size": "2097152",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # With the usual 9 s, a broker that comes back after a kill is refused until its old session has ended.
        "broker.heartbeat.interval.ms": "250",
        "broker.session.timeout.ms": "2000",
        **dict.fromkeys(_ONE, "1"),
    }


def _properties(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


async def _record_classes(programs: KafkaPrograms, archive: Path) -> None:
    """Start a broker once and have Java write down which classes it loaded; that halves every later start."""
    async with workspace() as work:
        broker = await _prepare(work, programs, {}, ())
        broker.jvm = (f"-XX:ArchiveClassesAtExit={archive}",)
        await broker.start()
        await broker.stop()
    if not await asyncio.to_thread(archive.exists):
        raise StandError("failed", f"{programs.java.program} wrote no class archive")
