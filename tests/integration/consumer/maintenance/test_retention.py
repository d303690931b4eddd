from __future__ import annotations

import asyncio
from datetime import timedelta

from evaluation_cancel.consumer.domain.rows import EventReference
from evaluation_cancel.consumer.sql import outbox, retention
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv

LONG_AGO = "now() - interval '40 days'"


async def forget(postgres_env: PostgresEnv, limit: int = 1000) -> int:
    async with postgres_env.database.transaction() as tx:
        commands = await retention.forget_commands(tx, timedelta(days=30), limit)
        return commands + await retention.forget_messages(tx, timedelta(days=30), limit)


async def age(postgres_env: PostgresEnv) -> None:
    await postgres_env.admin.execute(f"UPDATE evaluation_cancel.commands SET received_at = {LONG_AGO}")
    await postgres_env.admin.execute(f"UPDATE evaluation_cancel.messages SET created_at = {LONG_AGO}")


async def test_old_commands_and_published_messages_are_forgotten_and_cancellations_kept(
    postgres_env: PostgresEnv,
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.cancelled(command(evaluation))
    await age(postgres_env)
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(postgres_env) == 3
    assert (await postgres_env.count("commands"), await postgres_env.count("messages")) == (0, 0)
    assert await postgres_env.count("cancellations") == 1


async def test_young_rows_are_kept(postgres_env: PostgresEnv) -> None:
    await postgres_env.cancelled(command(await postgres_env.evaluation()))
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(postgres_env) == 0


async def test_an_open_cancellation_keeps_its_commands_and_the_outbox_its_messages_however_old(
    postgres_env: PostgresEnv,
) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    await age(postgres_env)
    assert await forget(postgres_env) == 0


async def test_at_most_so_many_are_forgotten_at_a_time(postgres_env: PostgresEnv) -> None:
    for _ in range(5):
        await postgres_env.cancelled(command(await postgres_env.evaluation()))
    await age(postgres_env)
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.outbox")
    assert await forget(postgres_env, limit=2) == 4


async def test_the_oldest_are_found_without_reading_all(postgres_env: PostgresEnv) -> None:
    async with postgres_env.admin.transaction():
        await postgres_env.admin.execute("SET LOCAL enable_seqscan = off")
        arguments = (timedelta(days=30), 10)
        plans = [
            "\n".join(row[0] for row in await postgres_env.admin.fetch("EXPLAIN " + query, *arguments))
            for query in (retention.FORGET_COMMANDS, retention.LOCK_OLD_MESSAGES)
        ]
    assert "commands_by_age" in plans[0]
    assert "Sort" not in plans[0]
    assert "messages_pkey" in plans[1]


async def test_a_message_that_is_published_again_meanwhile_is_kept(postgres_env: PostgresEnv) -> None:
    first = await published_long_ago(postgres_env)
    again = postgres_env.database.transaction()
    tx = await again.__aenter__()
    await outbox.add_again(tx, [first])
    forgetting = asyncio.create_task(forget(postgres_env))
    await asyncio.wait([forgetting], timeout=0.5)  # it may wait for the other, or leave the message out
    await again.__aexit__(None, None, None)
    await forgetting
    assert await orphans(postgres_env) == []


async def test_a_message_that_is_forgotten_meanwhile_is_not_queued_again(postgres_env: PostgresEnv) -> None:
    first = await published_long_ago(postgres_env)

    async def publish_again() -> None:
        async with postgres_env.database.transaction() as tx:
            await outbox.add_again(tx, [first])

    async with postgres_env.database.transaction() as tx:
        await retention.forget_messages(tx, timedelta(days=30), 10)
        adding = asyncio.create_task(publish_again())
        await asyncio.wait([adding], timeout=0.5)
    await adding
    assert await orphans(postgres_env) == []


async def published_long_ago(postgres_env: PostgresEnv) -> EventReference:
    """The event of a message."""
    await postgres_env.send(command(await postgres_env.evaluation()))
    await age(postgres_env)
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.outbox")
    row = await postgres_env.row("messages")
    return EventReference(row["evaluation_id"], row["event_id"])


async def orphans(postgres_env: PostgresEnv) -> list[int]:
    """Places in the queue whose message is gone."""
    rows = await postgres_env.admin.fetch(
        "SELECT o.id FROM evaluation_cancel.outbox o"
        " WHERE NOT EXISTS (SELECT FROM evaluation_cancel.messages m WHERE m.id = o.message_id)"
    )
    return [row["id"] for row in rows]
