from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from evaluation_cancel.consumer.outbox.relay import Relay, RelayLimits
from evaluation_cancel.consumer.sql import outbox
from tests.support.consumer.fake_broker import FakeBroker, add, lead, relay
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until


async def test_only_one_leads_and_the_next_one_waits_for_the_lease(postgres_env: PostgresEnv) -> None:
    first, second = relay(postgres_env, FakeBroker(), "a"), relay(postgres_env, FakeBroker(), "b")
    assert await first._hold()
    assert not await second._hold()
    await first._release()
    assert await second._hold()


async def test_a_leader_that_was_stopped_too_long_marks_nothing(postgres_env: PostgresEnv) -> None:
    stopped, broker = relay(postgres_env, FakeBroker(), "a"), FakeBroker()
    await add(postgres_env, ("k", "a"))
    await lead(stopped)
    await postgres_env.admin.execute("UPDATE evaluation_cancel.leases SET until = now()")
    successor = relay(postgres_env, broker, "b")
    await lead(successor)
    await stopped.round()  # it wakes, sends what it had chosen, and may not mark it
    assert await postgres_env.count("outbox") == 1
    await successor.round()
    assert await postgres_env.count("outbox") == 0


async def test_a_lease_is_prolonged_until_it_outlasts_what_is_sent_under_it(postgres_env: PostgresEnv) -> None:
    limits = RelayLimits(lease=timedelta(seconds=60), sending=timedelta(seconds=60))
    publishing = Relay(database=postgres_env.database, producer=FakeBroker(), holder="a", limits=limits)
    await add(postgres_env, ("k", "a"))
    await lead(publishing)
    await postgres_env.admin.execute("UPDATE evaluation_cancel.leases SET until = now() + interval '1 second'")
    await publishing.round()
    assert (await postgres_env.row("leases", "until > now() + interval '2 seconds'"))["holder"] == "a"


@pytest.mark.parametrize("still_leads", [True, False])
async def test_who_was_led_over_while_choosing_sends_nothing(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch, still_leads: bool
) -> None:
    broker, oldest = FakeBroker(), outbox.oldest
    limits = RelayLimits(lease=timedelta(seconds=1), sending=timedelta(seconds=2))
    publishing = Relay(database=postgres_env.database, producer=broker, holder="a", limits=limits)
    successor = relay(postgres_env, FakeBroker(), "b")
    await add(postgres_env, ("k", "a"))
    await lead(publishing)

    async def slowly(*arguments: Any) -> Any:
        rows = await oldest(*arguments)
        await postgres_env.admin.execute("UPDATE evaluation_cancel.leases SET until = now()")
        await lead(successor)
        if not still_leads:
            await successor._release()
        return rows

    monkeypatch.setattr(outbox, "oldest", slowly)
    assert not await publishing.round()
    assert broker.rounds == []


async def test_the_loop_publishes_when_it_is_nudged_and_gives_its_lease_up_at_the_end(
    postgres_env: PostgresEnv,
) -> None:
    broker = FakeBroker()
    publishing = relay(postgres_env, broker)
    running = asyncio.create_task(publishing.run())
    await add(postgres_env, ("k", "a"))
    publishing.nudge()
    await until(lambda: broker.values == [b"a"], "the message was published")
    publishing.stop()
    await running
    assert await relay(postgres_env, FakeBroker(), "b")._hold()
