from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from evaluation_cancel.consumer.outbox.relay import Relay, RelayLimits
from evaluation_cancel.consumer.sql import outbox
from tests.support.consumer.fake_broker import FakeBroker, add, lead, relay
from tests.support.consumer.postgres_env import Ledger
from tests.support.waiting import until


async def test_only_one_leads_and_the_next_one_waits_for_the_lease(ledger: Ledger) -> None:
    first, second = relay(ledger, FakeBroker(), "a"), relay(ledger, FakeBroker(), "b")
    assert await first._hold()
    assert not await second._hold()
    await first._release()
    assert await second._hold()


async def test_a_leader_that_was_stopped_too_long_marks_nothing(ledger: Ledger) -> None:
    stopped, broker = relay(ledger, FakeBroker(), "a"), FakeBroker()
    await add(ledger, ("k", "a"))
    await lead(stopped)
    await ledger.admin.execute("UPDATE evaluation_cancel.leases SET until = now()")
    successor = relay(ledger, broker, "b")
    await lead(successor)
    await stopped.round()  # it wakes, sends what it had chosen, and may not mark it
    assert await ledger.count("outbox") == 1
    await successor.round()
    assert await ledger.count("outbox") == 0


async def test_a_lease_is_prolonged_until_it_outlasts_what_is_sent_under_it(ledger: Ledger) -> None:
    limits = RelayLimits(lease=timedelta(seconds=60), sending=timedelta(seconds=60))
    publishing = Relay(database=ledger.database, producer=FakeBroker(), holder="a", limits=limits)
    await add(ledger, ("k", "a"))
    await lead(publishing)
    await ledger.admin.execute("UPDATE evaluation_cancel.leases SET until = now() + interval '1 second'")
    await publishing.round()
    assert (await ledger.row("leases", "until > now() + interval '2 seconds'"))["holder"] == "a"


@pytest.mark.parametrize("still_leads", [True, False])
async def test_who_was_led_over_while_choosing_sends_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, still_leads: bool
) -> None:
    broker, oldest = FakeBroker(), outbox.oldest
    limits = RelayLimits(lease=timedelta(seconds=1), sending=timedelta(seconds=2))
    publishing = Relay(database=ledger.database, producer=broker, holder="a", limits=limits)
    successor = relay(ledger, FakeBroker(), "b")
    await add(ledger, ("k", "a"))
    await lead(publishing)

    async def slowly(*arguments: Any) -> Any:
        rows = await oldest(*arguments)
        await ledger.admin.execute("UPDATE evaluation_cancel.leases SET until = now()")
        await lead(successor)
        if not still_leads:
            await successor._release()
        return rows

    monkeypatch.setattr(outbox, "oldest", slowly)
    assert not await publishing.round()
    assert broker.rounds == []


async def test_the_loop_publishes_when_it_is_nudged_and_gives_its_lease_up_at_the_end(ledger: Ledger) -> None:
    broker = FakeBroker()
    publishing = relay(ledger, broker)
    running = asyncio.create_task(publishing.run())
    await add(ledger, ("k", "a"))
    publishing.nudge()
    await until(lambda: broker.values == [b"a"], "the message was published")
    publishing.stop()
    await running
    assert await relay(ledger, FakeBroker(), "b")._hold()
