"""The handle of a Kafka broker, of the stand or of the user, and functions that create topics on it.

It starts nothing: see `memory.py` and `real.py`.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from deploy.local.errors import StandError
from evaluation_cancel.schemas.topics import TopicSpec

LIMIT = 30.0
"""Seconds for one administrative request."""


@dataclass(kw_only=True, eq=False)
class Kafka:
    bootstrap_servers: str
    kind: Literal["memory", "real", "given"]


async def ensure_topics(kafka: Kafka, specs: Iterable[TopicSpec]) -> None:
    """See to it that the topics exist, and that clients are told so; those that do are left as they are."""
    await asyncio.to_thread(_ask_for if kafka.kind == "memory" else _create, kafka.bootstrap_servers, tuple(specs))


def _ask_for(bootstrap_servers: str, specs: tuple[TopicSpec, ...]) -> None:
    # The in-memory broker knows no request for it: topics appear, with four partitions, when they are asked for.
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 4})
    for spec in specs:
        client.list_topics(spec.name, timeout=LIMIT)


def _create(bootstrap_servers: str, specs: tuple[TopicSpec, ...]) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 4})
    wanted = [
        NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=-1, config=spec.settings)
        for spec in specs
    ]
    for created in client.create_topics(wanted, request_timeout=LIMIT, operation_timeout=LIMIT).values():
        try:
            created.result(LIMIT)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    # The answer comes when the controller knows; what the broker tells its clients follows a moment later.
    deadline = time.monotonic() + LIMIT
    while not all(_is_served(client, spec.name) for spec in specs):
        if time.monotonic() > deadline:
            raise StandError("topics_not_served", f"the topics have no leaders after {LIMIT:g} s")
        time.sleep(0.05)


def _is_served(client: AdminClient, name: str) -> bool:
    topic = client.list_topics(name, timeout=LIMIT).topics[name]
    leaders = [partition.leader for partition in topic.partitions.values()]
    return topic.error is None and bool(leaders) and min(leaders) >= 0


async def delete_topics(kafka: Kafka, specs: Iterable[TopicSpec]) -> None:
    """Take them from a broker of the user's own. One that cannot be reached any more keeps them."""
    await asyncio.to_thread(_delete, kafka.bootstrap_servers, [spec.name for spec in specs])


def _delete(bootstrap_servers: str, names: list[str]) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 4})
    for deleted in client.delete_topics(names, request_timeout=LIMIT, operation_timeout=LIMIT).values():
        with contextlib.suppress(KafkaException):
            deleted.result(LIMIT)
