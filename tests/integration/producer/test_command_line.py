"""`cancel-producer` as a person or a script runs it."""

import asyncio
import json
import os
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command
from tests.support.producer.responder import responder

PATIENCE = 90.0


async def run(environment: Any, topics: Any, *arguments: str | UUID, **settings: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    address = environment.kafka.bootstrap_servers if environment is not None else "127.0.0.1:1"
    memory = environment is None or environment.kafka.kind == "memory"
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "TOPIC_PREFIX": topics.prefix if topics is not None else "",
        "KAFKA_ISOLATION_LEVEL": "read_uncommitted" if memory else "read_committed",
        "TEAM": "team-7 team-9",
    } | settings
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evaluation_cancel.producer", "cancel", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"} | {f"EVALUATION_CANCEL_{name}": value for name, value in variables.items()},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_without_waiting_it_ends_when_kafka_has_the_commands(environment: Any, topics: Any) -> None:
    one, two = uuid4(), uuid4()
    code, out, _ = await run(environment, topics, one, two, one, "--reason", "wrong", "--service", "cron")
    assert code == 0
    assert sorted(out.split()) == sorted([str(one), "published", str(two), "published"])
    address = environment.kafka.bootstrap_servers
    consumer = AIOKafkaConsumer(topics.commands, bootstrap_servers=address, auto_offset_reset="earliest")
    async with asyncio.timeout(PATIENCE), consumer:
        commands = [decode_command(RawRecord.of(await consumer.getone()))[1] for _ in range(2)]
    assert {command.evaluation_id for command in commands} == {one, two}
    actor = commands[0].requested_by
    assert (actor.kind, actor.id, actor.team_ids, commands[0].reason) == (
        "service",
        "cron",
        ("team-7", "team-9"),
        "wrong",
    )


@pytest.mark.parametrize(
    ("wishes", "code", "states"),
    [
        (["cancelled", "already_cancelled"], 0, ["cancelled", "already_cancelled"]),
        (["cancelled", "not_found"], 1, ["cancelled", "rejected"]),
        (["failed", "dead_letter"], 1, ["failed", "rejected"]),
    ],
)
async def test_waiting_ends_by_the_outcomes(
    environment: Any, topics: Any, wishes: list[str], code: int, states: list[str]
) -> None:
    evaluations = {uuid4(): wish for wish in wishes}
    async with responder(environment.kafka.bootstrap_servers, topics, evaluations):
        found, out, errors = await run(environment, topics, *evaluations, "--wait", "--json", "--user", "ada")
    assert (found, errors) == (code, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["state"] for row in rows] == states
    assert [UUID(row["evaluation_id"]) for row in rows] == list(evaluations)


async def test_progress_is_told_while_it_waits(environment: Any, topics: Any) -> None:
    evaluation = uuid4()
    async with responder(environment.kafka.bootstrap_servers, topics, {evaluation: "failed"}):
        code, out, _ = await run(environment, topics, evaluation, "--wait", "--user", "ada")
    assert code == 1
    lines = [line for line in out.splitlines() if not line.endswith("published")]
    assert lines == [f"{evaluation}  accepted", f"{evaluation}  failed  rbac_denied: forbidden"]


async def test_an_outcome_that_does_not_come_is_no_success(environment: Any, topics: Any) -> None:
    evaluation = uuid4()
    async with responder(environment.kafka.bootstrap_servers, topics, {evaluation: "accepted"}):
        code, out, _ = await run(environment, topics, evaluation, "--wait", "--timeout", "2", "--user", "ada")
    assert code == 3
    assert "no outcome yet" in out


async def test_a_kafka_out_of_reach_is_said_in_one_line() -> None:
    code, out, errors = await run(None, None, uuid4(), "--user", "ada", CONNECT_TIMEOUT="1")
    assert (code, out) == (3, "")
    assert errors.startswith("Kafka was not reached in 1 s")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["42"], {}, "UUID"),
        ([uuid4(), "--user", "a", "--service", "b"], {}, "not both"),
        ([uuid4(), uuid4(), "--command-id", "a"], {}, "one evaluation"),
        ([uuid4(), "--user", "a" * 513], {}, "512"),
        ([uuid4()], {"PUBLISH_TIMEOUT": "soon"}, "EVALUATION_CANCEL_PUBLISH_TIMEOUT"),
    ],
)
async def test_wrong_usage_is_explained(arguments: list[Any], settings: dict[str, str], words: str) -> None:
    code, _, errors = await run(None, None, *arguments, **settings)
    assert code == 2
    assert words in errors
    assert "Traceback" not in errors


async def test_a_reason_too_long_is_refused_before_it_is_sent(environment: Any, topics: Any) -> None:
    code, out, _ = await run(environment, topics, uuid4(), "--reason", "a" * 1025, "--user", "ada")
    assert code == 1
    assert "invalid_command" in out
