from __future__ import annotations

from datetime import timedelta

from consumer.store import retention
from tests.integration.consumer.ledger import Ledger
from tests.unit.consumer.commands import command

LONG_AGO = "now() - interval '40 days'"


async def forget(ledger: Ledger, limit: int = 1000) -> int:
    async with ledger.database.connection() as tx:
        return await retention.forget(tx, inbox=timedelta(days=30), messages=timedelta(days=30), limit=limit)


async def age(ledger: Ledger) -> None:
    await ledger.admin.execute(f"UPDATE evaluation_cancel.commands SET received_at = {LONG_AGO}")
    await ledger.admin.execute(f"UPDATE evaluation_cancel.messages SET created_at = {LONG_AGO}")


async def test_old_commands_and_published_messages_are_forgotten_and_cancellations_kept(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.cancelled(command(evaluation))
    await age(ledger)
    await ledger.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(ledger) == 3
    assert (await ledger.count("commands"), await ledger.count("messages")) == (0, 0)
    assert await ledger.count("cancellations") == 1


async def test_young_rows_are_kept(ledger: Ledger) -> None:
    await ledger.cancelled(command(await ledger.evaluation()))
    await ledger.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(ledger) == 0


async def test_an_open_cancellation_keeps_its_commands_and_the_outbox_its_messages_however_old(ledger: Ledger) -> None:
    await ledger.send(command(await ledger.evaluation()))
    await age(ledger)
    assert await forget(ledger) == 0


async def test_at_most_so_many_are_forgotten_at_a_time(ledger: Ledger) -> None:
    for _ in range(5):
        await ledger.cancelled(command(await ledger.evaluation()))
    await age(ledger)
    await ledger.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(ledger, limit=2) == 4


async def test_the_oldest_are_found_without_reading_all(ledger: Ledger) -> None:
    async with ledger.admin.transaction():
        await ledger.admin.execute("SET LOCAL enable_seqscan = off")
        arguments = (timedelta(days=30), timedelta(days=30), 10)
        plan = "\n".join(r[0] for r in await ledger.admin.fetch("EXPLAIN " + retention.FORGET, *arguments))
    assert "commands_by_age" in plan
    assert "Sort" not in plan
