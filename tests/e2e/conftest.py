"""The fixture `system_env`: two consumer processes on a stand of the module's own, which tests can break."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.local.play.listener import listening
from deploy.local.play.orchestrator import orchestrator
from deploy.local.play.places import Places
from deploy.local.stand.stack import stack
from deploy.local.stand.system import SHORT_LEASES, system
from evaluation_cancel.producer.publisher import Publisher
from tests.support.stacks import chosen_stack
from tests.support.system_env import SystemEnv


@pytest.fixture(scope="module")
async def system_env() -> AsyncIterator[SystemEnv]:
    real = chosen_stack() == "real"
    parts = stack(kafka="real" if real else "memory", kubernetes="real" if real else "simulated")
    async with (
        parts as started,
        system(started, settings=SHORT_LEASES) as running,
        listening(running.kafka) as listener,
        orchestrator(Places.of(running)) as team,
        Publisher(client=running.kafka.kafka_client(), source="urn:e2e", topics=running.topics) as publisher,
    ):
        yield SystemEnv(system=running, listener=listener, team=team, publisher=publisher)
