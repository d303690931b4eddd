"""An untouched history has no defect, and whatever is altered in it is found and named."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.verify.context import Verification
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.audit.verify.verify import verify
from tests.support.audit import tampering
from tests.support.audit.history import History
from tests.support.audit.tampering import data, events_links, links
from tests.support.audit.tampering_records import STOLEN
from tests.support.fakes.audit import MemoryStore

Heads = dict[tuple[str, int], Head]


async def verified(
    history: History, store: MemoryStore | None = None, dsn: str | None = None, **changes: Any
) -> tuple[Findings, Heads]:
    settings = history.settings if dsn is None else history.on(dsn)
    verification = Verification(
        topics=settings.topics, lag=timedelta(0), inbox_kept=timedelta(days=30), messages_kept=timedelta(days=30)
    )
    async with wiring.postgres(settings) as database:
        return await verify(
            store or history.archive(),
            wiring.trusted_keys(settings),
            database,
            replace(verification, **changes),
            lambda _: None,
        )


async def test_an_untouched_history_has_no_defect(history: History) -> None:
    findings, heads = await verified(history)
    assert findings.defects == []
    assert findings.notices == []
    counts = findings.counts
    assert counts["inbox rows"] == 8
    assert counts["commands"] == 11
    assert counts["cancellations"] == 4
    assert counts["records"] == sum(body.count(b"\n") for body in map(gzip.decompress, data(history.objects).values()))
    assert (await verified(history, checkpoints=heads))[0].defects == []


async def test_the_archive_alone_can_be_verified_too(history: History) -> None:
    verification = Verification(
        topics=history.settings.topics, lag=timedelta(0), inbox_kept=timedelta(30), messages_kept=timedelta(30)
    )
    trusted = wiring.trusted_keys(history.settings)
    findings, _ = await verify(history.archive(), trusted, None, verification, lambda _: None)
    assert findings.defects == []
    assert findings.counts["messages"] == 0


@pytest.mark.parametrize("tamper", [*tampering.ALL, *STOLEN], ids=lambda tamper: tamper.__name__)
async def test_a_tampered_archive_is_found_and_the_place_named(history: History, tamper: tampering.Tampering) -> None:
    store = history.archive()
    where, code = tamper(history, store)
    findings, _ = await verified(history, store)
    assert [f for f in findings.defects if f.code == code and where in f.where], findings.defects


async def test_an_object_that_nothing_links_is_named_and_is_no_part_of_the_archive(history: History) -> None:
    store = history.archive()
    key = min(data(store.objects))
    foreign = key.replace("/00000-", "/00099-")
    store.objects |= {foreign: store.objects[key], key + ".bak": b"x"} if foreign != key else {key + ".bak": b"x"}
    findings, _ = await verified(history, store)
    assert findings.defects == []
    assert {f.code for f in findings.notices} == {"unlinked_object"}
    assert key + ".bak" in {f.where for f in findings.notices}


async def test_what_was_cut_off_at_the_end_shows_against_noted_heads(history: History) -> None:
    _, heads = await verified(history)
    store = history.archive()
    last = events_links(history, store)[-1]
    del store.objects[last]
    findings, _ = await verified(history, store, checkpoints=heads)
    assert [f.where for f in findings.defects if f.code == "truncated_chain"] == [last.rpartition("/")[0] + "/"]


async def test_what_was_cut_off_at_the_end_shows_against_postgres_too(history: History) -> None:
    store = history.archive()
    # The last link of each partition, of whatever topic.
    for last in {key.rpartition("/")[0]: key for key in sorted(store.objects) if key.startswith("chain/")}.values():
        del store.objects[last]
    findings, _ = await verified(history, store)
    found = [f.where.partition(" row")[0] for f in findings.defects if f.code == "not_archived"]
    assert "messages" in found
    assert "commands" in found


async def test_a_chain_that_is_gone_as_a_whole_shows_against_noted_heads(history: History) -> None:
    _, heads = await verified(history)
    store = history.archive()
    for key in links(store.objects, history.settings.topics.dead_letters):
        del store.objects[key]
    findings, _ = await verified(history, store, checkpoints=heads)
    assert {f.code for f in findings.defects} >= {"truncated_chain", "undecided"}


async def test_what_kafka_no_longer_has_and_the_archive_never_had_is_a_defect(history: History) -> None:
    _, heads = await verified(history)
    partition, head = next(iter(sorted(heads.items())))
    bounds = {partition: (head.next_offset + 3, head.next_offset + 5)}
    findings, _ = await verified(history, kafka_bounds=bounds)
    assert [(f.code, f.where) for f in findings.defects] == [
        ("expired_unarchived", f"{partition[0]}[{partition[1]}]@{head.next_offset}")
    ]


ROWS = {
    "a command's actor": (
        "UPDATE evaluation_cancel.commands SET actor_id = 'mallory' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a command's reason": (
        "UPDATE evaluation_cancel.commands SET reason = NULL WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a command's teams": (
        "UPDATE evaluation_cancel.commands SET team_ids = '[]' WHERE evaluation_id = $1",
        "decision_differs",
    ),
    "a command's bytes": (
        "UPDATE evaluation_cancel.commands SET raw_sha256 = '' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a command's position": (
        """UPDATE evaluation_cancel.commands SET (partition, "offset") = (SELECT partition, "offset"
           FROM evaluation_cancel.commands WHERE evaluation_id <> $1 LIMIT 1) WHERE evaluation_id = $1""",
        "row_without_record",
    ),
    "a decision": (
        "UPDATE evaluation_cancel.commands SET decision = 'rejected', code = 'expired' WHERE evaluation_id = $1",
        "decision_differs",
    ),
    "the status seen": (
        "UPDATE evaluation_cancel.commands SET status_seen = 'succeeded' WHERE evaluation_id = $1",
        "decision_differs",
    ),
    "the rules' version": (
        "UPDATE evaluation_cancel.commands SET decision_version = 99 WHERE evaluation_id = $1",
        "decision_differs",
    ),
    "a decision taken back": (
        "UPDATE evaluation_cancel.commands SET decision = NULL WHERE evaluation_id = $1",
        "undecided",
    ),
    "a dropped command": ("DELETE FROM evaluation_cancel.commands WHERE evaluation_id = $1", "row_missing"),
    "an inserted command": (
        """INSERT INTO evaluation_cancel.commands (source, id, evaluation_id, meaning, actor_kind, actor_id, team_ids,
           every_team, cleanup_artifacts, topic, partition, "offset", raw_sha256, received_at)
           SELECT source, 'forged', evaluation_id, meaning, actor_kind, actor_id, team_ids, every_team,
           cleanup_artifacts, topic, partition, "offset", raw_sha256, received_at
           FROM evaluation_cancel.commands WHERE evaluation_id = $1""",
        "row_without_record",
    ),
    "a cancellation's actor": (
        "UPDATE evaluation_cancel.cancellations SET actor_id = 'mallory' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a cancellation's time": (
        "UPDATE evaluation_cancel.cancellations SET ended_at = ended_at + interval '1 s' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a cancellation's phase": (
        "UPDATE evaluation_cancel.cancellations SET phase = 'failed' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a pod in the evidence": (
        """UPDATE evaluation_cancel.cancellations SET evidence = evidence #- '{pods,0}'
           WHERE evaluation_id = $1""",
        "row_differs",
    ),
    "what was deleted": (
        """UPDATE evaluation_cancel.cancellations SET cleanup_report = jsonb_set(cleanup_report, '{deleted_count}', '9')
           WHERE evaluation_id = $1""",
        "row_differs",
    ),
    "a cleanup taken back": (
        "UPDATE evaluation_cancel.cancellations SET cleanup_state = 'not_requested' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "how many commands share it": (
        "UPDATE evaluation_cancel.cancellations SET joined = joined + 1 WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a dropped cancellation": ("DELETE FROM evaluation_cancel.cancellations WHERE evaluation_id = $1", "row_missing"),
    "a message": (
        "UPDATE evaluation_cancel.messages SET value = replace(convert_from(value, 'utf8'), 'ada', 'bob')::bytea"
        " WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a message's headers": (
        "UPDATE evaluation_cancel.messages SET headers = '[]' WHERE evaluation_id = $1",
        "row_differs",
    ),
    "a dropped message": ("DELETE FROM evaluation_cancel.messages WHERE evaluation_id = $1", "row_missing"),
    "an inserted message": (
        """INSERT INTO evaluation_cancel.messages (event_id, type, evaluation_id, topic, headers)
           VALUES (gen_random_uuid(), 'EvaluationCancelled', $1, 't', '[]')""",
        "not_archived",
    ),
    "the evaluation's status": (
        "UPDATE evaluation_cancel.evaluations SET status = 'succeeded' WHERE id = $1",
        "status_differs",
    ),
}


@pytest.mark.parametrize(("statement", "code"), ROWS.values(), ids=ROWS.keys())
async def test_a_tampered_row_is_found_and_its_evaluation_named(
    history: History, copy: str, statement: str, code: str
) -> None:
    connection = await asyncpg.connect(copy)
    await connection.execute("SET session_replication_role = replica")  # no trigger stands in a forger's way
    assert (await connection.execute(statement, history.running)).split()[-1] != "0"
    await connection.close()
    findings, _ = await verified(history, dsn=copy)
    named = [f for f in findings.defects if f.code == code]
    assert named, findings.defects
    assert any(str(history.running) in f.where + f.detail or "@" in f.where for f in named)
    others = {str(getattr(history, name)) for name in ("created", "joined", "owned", "forbidden")}
    assert not [f for f in findings.defects if any(other in f.where + f.detail for other in others)]


SWAPS = {
    "what two commands asked": """UPDATE evaluation_cancel.commands c SET actor_id = o.actor_id, meaning = o.meaning
        FROM evaluation_cancel.commands o WHERE c.evaluation_id IN ($1, $2) AND o.evaluation_id IN ($1, $2)
        AND o.evaluation_id <> c.evaluation_id""",
    "two outcomes": """UPDATE evaluation_cancel.cancellations c SET ended_at = o.ended_at, evidence = o.evidence
        FROM evaluation_cancel.cancellations o WHERE c.evaluation_id IN ($1, $2) AND o.evaluation_id IN ($1, $2)
        AND o.evaluation_id <> c.evaluation_id""",
    "two events": """UPDATE evaluation_cancel.messages m SET value = o.value FROM evaluation_cancel.messages o
        WHERE m.evaluation_id IN ($1, $2) AND o.evaluation_id IN ($1, $2) AND o.evaluation_id <> m.evaluation_id
        AND o.type = m.type""",
}


@pytest.mark.parametrize("statement", SWAPS.values(), ids=SWAPS.keys())
async def test_swapped_rows_are_both_named(history: History, copy: str, statement: str) -> None:
    connection = await asyncpg.connect(copy)
    await connection.execute(statement, history.running, history.created)
    await connection.close()
    findings, _ = await verified(history, dsn=copy)
    for evaluation in (history.running, history.created):
        named = [f for f in findings.defects if f.code == "row_differs" and str(evaluation) in f.where]
        assert named, findings.defects


@pytest.mark.parametrize("table", ["commands", "cancellations", "messages"])
async def test_a_truncated_table_is_found_row_by_row(history: History, copy: str, table: str) -> None:
    connection = await asyncpg.connect(copy)
    rows = await connection.fetchval(f"SELECT count(*) FROM evaluation_cancel.{table} WHERE evaluation_id IS NOT NULL")
    await connection.execute(f"TRUNCATE evaluation_cancel.{table}")
    await connection.close()
    findings, _ = await verified(history, dsn=copy)
    missing = {f.where for f in findings.defects if f.code == "row_missing" and "@" in f.where}
    assert len(missing) >= rows
