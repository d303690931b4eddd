"""The statements that a loop sends again and again find their rows by index, whatever statistics say or do not say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from evaluation_cancel.consumer.sql import cancellations, commands
from evaluation_cancel.consumer.sql.database import fetch
from tests.support.consumer.postgres_env import PostgresEnv, open_many

_COMMANDS = """
INSERT INTO evaluation_cancel.commands (source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team,
    cleanup_artifacts, topic, partition, "offset", raw_sha256, received_at)
SELECT 's', n::text, gen_random_uuid(), '', 'user', 'u', '[]', false, false, 't', 0, n, '', now()
FROM generate_series(1, 5000) n
"""
_KEYS = [str(number) for number in range(500)]
_IDS = [uuid4() for _ in range(500)]
_NONE = [None] * 500
_WAITS = (_IDS, [1] * 500, [timedelta(0)] * 500, _NONE, _NONE, _NONE, [False] * 500)
_ENDINGS = (_IDS, [1] * 500, ["cancelled"] * 500, ["{}"] * 500, _NONE, _NONE, timedelta(hours=1))


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        pytest.param(commands.KNOWN, (["s"] * 500, _KEYS), id="known commands"),
        pytest.param(cancellations.INTENT, (_IDS, [1] * 500), id="intents"),
        pytest.param(cancellations.END, _ENDINGS, id="ends"),
        pytest.param(cancellations.PUT_BACK, _WAITS, id="put back"),
        pytest.param(cancellations.JOIN, (_IDS, [1] * 500, [False] * 500), id="joins"),
    ],
)
async def test_rows_are_found_by_their_key_in_tables_that_were_never_analysed(
    postgres_env: PostgresEnv, statement: str, arguments: Sequence[Any]
) -> None:
    await open_many(postgres_env, "blue", 5000)
    await postgres_env.admin.execute(_COMMANDS)
    async with postgres_env.database.connection() as tx:
        plan = "\n".join(row["QUERY PLAN"] for row in await fetch(tx, f"EXPLAIN {statement}", *arguments))
    assert "_pkey" in plan
    assert "Seq Scan" not in plan
    assert "cancellations_due" not in plan, "all open cancellations were looked at for a few of them"
