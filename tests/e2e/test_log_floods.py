"""An outage stays readable: each process writes a few lines a second at most, whatever its loops go through."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import orjson
import pytest

from deploy.local.kafka.real import RealKafka
from tests.support.system_env import SystemEnv

pytestmark = pytest.mark.timeout(300)

OUTAGE = 10.0
A_SECOND = 3
"""Lines a second of one process. Each loop tells the outage for itself, rarer the longer it lasts."""


class Logs:
    """How long each consumer's log was at some moment."""

    def __init__(self, system_env: SystemEnv) -> None:
        self._consumers = system_env.system.consumers
        self._begin = {name: each.child.log.stat().st_size for name, each in self._consumers.items()}

    def since(self) -> dict[str, list[bytes]]:
        return {
            name: each.child.log.read_bytes()[self._begin[name] :].splitlines()
            for name, each in self._consumers.items()
        }


def are_few(logs: Mapping[str, Sequence[bytes]]) -> None:
    for name, lines in logs.items():
        kinds = Counter(_kind(line) for line in lines)
        assert len(lines) <= A_SECOND * OUTAGE, f"{name} wrote {len(lines)} lines: {kinds.most_common(8)}"


def _kind(line: bytes) -> str:
    """Every line is JSON; what it is about."""
    told = orjson.loads(line)
    return str(told.get("action") or told.get("logger"))


async def test_an_outage_of_postgres_is_a_few_lines_a_second(system_env: SystemEnv) -> None:
    evaluations = await system_env.running(30, ends_after=3)
    await system_env.cancel(evaluations[:20])
    logs = Logs(system_env)
    system_env.system.stack.postgres.kill()
    await system_env.cancel(evaluations[20:])
    await asyncio.sleep(OUTAGE)  # so long does it last
    lines = logs.since()
    await system_env.system.stack.postgres.start()
    await system_env.all_cancelled_once(evaluations)
    await system_env.healthy()
    are_few(lines)


@pytest.mark.real
async def test_an_outage_of_kafka_is_a_few_lines_a_second(system_env: SystemEnv) -> None:
    kafka = system_env.system.stack.kafka
    assert isinstance(kafka, RealKafka)
    evaluations = await system_env.running(30, ends_after=3)
    await system_env.cancel(evaluations)
    logs = Logs(system_env)
    kafka.kill()
    await asyncio.sleep(OUTAGE)  # so long does it last
    lines = logs.since()
    await kafka.start()
    await system_env.all_cancelled_once(evaluations)
    await system_env.healthy()
    are_few(lines)
