"""The commands as a person calls them: output, exit codes, files."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from html.parser import HTMLParser
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from tests.support.audit.history import History, new_bucket


def variables(settings: AuditSettings, **changes: str) -> dict[str, str]:
    names = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "KAFKA_ISOLATION_LEVEL": settings.kafka_isolation_level,
        "TOPIC_PREFIX": settings.topic_prefix,
        "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "S3_ENDPOINT_URL": settings.s3_endpoint_url or "",
        "S3_REGION": settings.s3_region or "",
        "S3_PATH_STYLE": "true",
        "AUDIT_BUCKET": settings.audit_bucket or "",
        "AUDIT_PREFIX": settings.audit_prefix,
        "AUDIT_SIGNING_KEY_FILE": str(settings.audit_signing_key_file),
        "AUDIT_PUBLIC_KEY_FILES": json.dumps([str(p) for p in settings.audit_public_key_files]),
        "AUDIT_LAG": "0.001",
    }
    return {**os.environ, "COLUMNS": "200", **{f"EVALUATION_CANCEL_{n}": v for n, v in (names | changes).items()}}


async def audit(env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evaluation_cancel.consumer", "audit", *arguments),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(child.communicate(), 100)
    return child.returncode or 0, out.decode(), err.decode()


async def test_verify_exits_with_0_or_1_and_names_the_defect(history: History, copy: str, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    code, out, err = await audit(variables(history.settings), "verify", "--note-heads", str(heads))
    assert (code, "No defect was found." in out) == (0, True), out + err
    assert "Compared with Postgres, Kafka's offsets." in out
    assert "younger than 0.001 s" in out
    assert len(heads.read_text().splitlines()) > 3
    connection = await asyncpg.connect(copy)
    await connection.execute("UPDATE evaluation_cancel.cancellations SET reason = 'x' WHERE reason IS NOT NULL")
    await connection.close()
    env = variables(history.on(copy))
    code, out, _ = await audit(env, "verify", "--heads", str(heads), "--json")
    assert code == 1
    assert json.loads(out)["held_against"] == ["Postgres", "Kafka's offsets", "noted heads"]
    defects = json.loads(out)["defects"]
    assert {d["code"] for d in defects} == {"row_differs"}
    assert any(str(history.running) in d["where"] for d in defects)
    env = variables(history.settings, POSTGRES_DSN="postgresql://127.0.0.1:1/none")
    code, out, err = await audit(env, "verify")
    assert (code, out) == (2, "")
    assert "postgres_unavailable" in err


async def test_an_archive_without_a_link_is_not_found_to_be_sound(history: History) -> None:
    env = variables(history.settings, AUDIT_PREFIX="nothing-is-here/")
    code, out, err = await audit(env, "verify", "--without-postgres")
    assert (code, out) == (2, "")
    assert "empty_archive" in err


async def test_explain_tells_the_story_and_knows_when_there_is_none(history: History) -> None:
    env = variables(history.settings)
    code, out, err = await audit(env, "explain", str(history.running))
    assert code == 0, err
    assert "wrong model" in out
    code, out, _ = await audit(env, "explain", "00000000-0000-4000-8000-000000000000")
    assert code == 1
    assert "There is no such evaluation" in out
    blind = variables(history.settings, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    code, out, _ = await audit(blind, "explain", "00000000-0000-4000-8000-000000000000", "--json")
    assert code == 2, "nothing is known, but not everything was read"
    assert list(json.loads(out)["unread"]) == ["kafka"]


async def test_replay_prints_lines_and_refuses_the_systems_own_topics(history: History) -> None:
    env = variables(history.settings)
    code, out, err = await audit(env, "replay", "--evaluation", str(history.running), "--as", "jsonl")
    assert code == 0, err
    assert len([json.loads(line) for line in out.splitlines()]) == 4
    assert "4 records replayed." in err
    code, _, err = await audit(env, "replay", "--as", "topic", "--topic", history.settings.topics.events)
    assert code == 2
    assert "system's own" in err
    code, _, err = await audit(env, "replay", "--as", "topic", "--topic", "no-such-topic")
    assert (code, "no_topic" in err) == (2, True), "it is not created by the way"
    code, out, err = await audit(env, "replay", "--source", "kafka", "--from", "1h", "--type", "EvaluationCancelled")
    assert code == 0, err
    assert "cancelled" in out


async def test_a_reader_who_has_seen_enough_ends_a_replay_quietly(history: History) -> None:
    line = f"{sys.executable} -m evaluation_cancel.consumer audit replay --as jsonl | head -n 1"
    child = await asyncio.create_subprocess_shell(
        line,
        env=variables(history.settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(child.communicate(), 100)
    assert json.loads(out)["offset"] >= 0
    assert b"Traceback" not in err


async def test_an_archiver_without_its_topics_says_so(history: History) -> None:
    code, _, err = await audit(variables(history.settings, TOPIC_PREFIX="nobodys-"), "archive", "--once")
    assert (code, "topics_missing" in err) == (2, True)


TABLES = ("evaluations", "commands", "cancellations", "cancellation_errors", "messages", "outbox", "offsets", "leases")


async def everything(settings: AuditSettings) -> dict[str, object]:
    """A digest of each table, the ends of all partitions, and the consumer groups where the broker can list them."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    query = "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM evaluation_cancel.{} t"
    found = {table: await connection.fetchval(query.format(table)) for table in TABLES}
    await connection.close()
    async with wiring.kafka(settings) as log:
        found["kafka"] = await log.bounds()
    if settings.kafka_isolation_level == "read_committed":
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
        await admin.start()
        found["groups"] = sorted(await admin.list_consumer_groups())
        await admin.close()
    return found


async def test_no_command_changes_anything_or_joins_a_group(
    history: History, environment: Stack, tmp_path: Path
) -> None:
    before = await everything(history.settings)
    env = variables(history.settings)
    elsewhere = variables(history.settings, AUDIT_BUCKET=await new_bucket(environment))
    for command in (
        ("explain", str(history.running)),
        ("replay", "--source", "kafka", "--dead-letters"),
        ("replay", "--source", "archive", "--as", "parquet", "--out", str(tmp_path / "records.parquet")),
        ("verify",),
        ("report", "--source", "kafka"),
    ):
        code, out, err = await audit(env, *command)
        assert code == 0, (command, out + err)
    code, _, err = await audit(elsewhere, "archive", "--once")
    assert code == 0, err
    assert await everything(history.settings) == before


class Links(HTMLParser):
    """Collects what a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [v or "" for n, v in attrs if n in ("src", "href", "srcset", "action", "data")]


async def test_report_counts_and_writes_a_page_that_needs_no_network(history: History, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    code, out, err = await audit(variables(history.settings), "report", "--from", "7d", "--html", str(page))
    assert code == 0, err
    rows = [line.split() for line in out.splitlines()]
    for row in (["accepted", "4"], ["forbidden", "1"], ["not_found", "1"], ["cancelled", "3"], ["owned_by", "1"]):
        assert row in rows, out
    assert ["team-1", "4", "3", "1"] in rows
    assert any(row[:2] == ["from", "acceptance"] for row in rows)
    links = Links()
    links.feed(page.read_text())
    assert links.references == []
    assert "script" not in links.tags
    assert {"svg", "rect", "table", "style"} <= links.tags
    assert "url(" not in page.read_text()
    assert "@import" not in page.read_text()


async def test_without_a_bucket_or_keys_it_says_what_is_missing(history: History) -> None:
    env = variables(history.settings)
    del env["EVALUATION_CANCEL_AUDIT_BUCKET"]
    code, _, err = await audit(env, "archive", "--once")
    assert (code, "EVALUATION_CANCEL_AUDIT_BUCKET" in err) == (2, True)
    code, _, err = await audit(variables(history.settings, AUDIT_PUBLIC_KEY_FILES="[]"), "verify")
    assert (code, "PUBLIC_KEY_FILES" in err) == (2, True)
