from __future__ import annotations

from collections import Counter
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import StillStopping, TeardownEvidence
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv, open_many


async def teams_of(postgres_env: PostgresEnv, limit: int) -> Counter[str]:
    return Counter(row.team_id for row in await postgres_env.claim(limit=limit))


async def test_twenty_thousand_rows_of_one_team_do_not_delay_the_others(postgres_env: PostgresEnv) -> None:
    await open_many(postgres_env, "crowd", 20_000, age=60)
    for team in ("blue", "red", "zebra"):
        await open_many(postgres_env, team, 2)
    claimed = await teams_of(postgres_env, 40)
    assert (claimed["blue"], claimed["red"], claimed["zebra"]) == (2, 2, 2)
    assert claimed["crowd"] >= 10


async def test_more_teams_than_room_get_their_turn(postgres_env: PostgresEnv) -> None:
    for n in range(30):
        await open_many(postgres_env, f"team-{n:02}", 3)
    seen: set[str] = set()
    for _ in range(9):
        seen |= set(await teams_of(postgres_env, 10))
    assert len(seen) == 30


async def test_a_team_alone_gets_all_there_is(postgres_env: PostgresEnv) -> None:
    await open_many(postgres_env, "blue", 50)
    assert await teams_of(postgres_env, 40) == {"blue": 40}


async def test_teams_that_only_wait_take_no_share(postgres_env: PostgresEnv) -> None:
    for n in range(20):
        await open_many(postgres_env, f"waiting-{n}", 1)
    rows = await postgres_env.claim()
    wait = StillStopping(evidence=TeardownEvidence(), poll_again_in=600, deleted=True)
    await postgres_env.store.finish_cancellations([(row, wait) for row in rows])
    await open_many(postgres_env, "blue", 50)
    assert await teams_of(postgres_env, 40) == {"blue": 40}


async def test_rows_of_other_clusters_are_left_to_their_own_workers(postgres_env: PostgresEnv) -> None:
    await open_many(postgres_env, "blue", 5, cluster="c2", age=60)
    await open_many(postgres_env, "blue", 1, cluster="c1")
    assert {row.cluster for row in await postgres_env.claim(clusters=["c1"])} == {"c1"}
    assert len(await postgres_env.claim(clusters=["c2"])) == 5


async def test_any_worker_claims_rows_without_a_cluster(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation("created")
    await postgres_env.send(command(evaluation))
    [row] = await postgres_env.claim(clusters=[])
    assert (row.evaluation_id, row.cluster) == (evaluation, None)


async def test_two_workers_never_hold_the_same_row(postgres_env: PostgresEnv) -> None:
    await open_many(postgres_env, "blue", 30)
    held: list[UUID] = []
    while rows := await postgres_env.claim(limit=7):
        held += [row.id for row in rows]
    assert len(held) == len(set(held)) == 30
