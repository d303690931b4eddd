"""An operator passes over records that cannot be read, on record and only where the intake stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.consumer.intake.skip import Skip, skip
from evaluation_cancel.consumer.sql import commands
from tests.support.consumer.commands import EVENTS
from tests.support.consumer.postgres_env import PostgresEnv

SKIP = Skip(topic="t", partition=3, first=7, last=9, operator="ada", reason="a codec that nobody has")


async def stands_at(env: PostgresEnv, offset: int) -> None:
    async with env.database.transaction() as tx:
        await commands.save_offsets(tx, [Position("t", 3, offset)])


async def saved(env: PostgresEnv) -> dict[int, int]:
    async with env.database.connection() as tx:
        return await commands.saved_offsets(tx, "t")


async def test_a_skip_is_a_dead_letter_and_the_next_offset_together(postgres_env: PostgresEnv) -> None:
    await stands_at(postgres_env, 7)
    await skip(postgres_env.database, EVENTS, SKIP)
    assert await saved(postgres_env) == {3: 10}
    letter = await postgres_env.row("messages", "type = 'DeadLetter'")
    headers = dict(unpack_headers(letter["headers"]))
    assert letter["value"] is None
    assert (headers["dlq_code"], headers["dlq_offset"]) == (b"skipped", b"7")
    assert b"offsets 7 to 9 were skipped by ada: a codec that nobody has" in headers["dlq_problem"]
    assert await postgres_env.count("outbox") == 1


@pytest.mark.parametrize("at", [None, 0, 6, 8, 10])
async def test_nothing_is_skipped_where_the_intake_does_not_stand(postgres_env: PostgresEnv, at: int | None) -> None:
    if at is not None:
        await stands_at(postgres_env, at)
    with pytest.raises(Refusal, match="not_there"):
        await skip(postgres_env.database, EVENTS, SKIP)
    assert await postgres_env.count("messages") == 0
    assert await saved(postgres_env) == ({} if at is None else {3: at})


async def test_the_same_skip_counts_once(postgres_env: PostgresEnv) -> None:
    await stands_at(postgres_env, 7)
    await skip(postgres_env.database, EVENTS, SKIP)
    with pytest.raises(Refusal, match="not_there"):
        await skip(postgres_env.database, EVENTS, SKIP)
    assert await postgres_env.count("messages") == 1


async def test_a_range_that_ends_before_it_begins_is_refused(postgres_env: PostgresEnv) -> None:
    with pytest.raises(Refusal, match="invalid_range"):
        await skip(postgres_env.database, EVENTS, replace(SKIP, last=6))
