"""The operator's commands, run as processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from uuid import uuid4

import pytest

from deploy.local.stand.stack import Stack
from evaluation_cancel.schemas.topics import Topics
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv


async def cli(postgres_env: PostgresEnv, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evaluation_cancel.consumer",
        *arguments,
        env={**os.environ, "EVALUATION_CANCEL_POSTGRES_DSN": postgres_env.dsn, "COLUMNS": "200", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_status_prints_all_rows_of_an_evaluation_as_json_and_as_tables(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.cancelled(command(evaluation, reason="wrong model"))
    code, out, _ = await cli(postgres_env, "status", str(evaluation), "--json")
    known = json.loads(out)
    assert code == 0
    assert known["evaluation"]["status"] == "cancelled"
    assert known["cancellations"][0]["evidence"]["job"] == "uid-1"
    assert [m["type"] for m in known["messages"]] == ["EvaluationCancelAccepted", "EvaluationCancelled"]
    code, out, _ = await cli(postgres_env, "status", str(evaluation))
    assert code == 0
    for word in ("wrong model", "accepted", "EvaluationCancelled", "uid-1"):
        assert word in out


async def test_status_of_an_unknown_evaluation_exits_with_one(postgres_env: PostgresEnv) -> None:
    code, out, _ = await cli(postgres_env, "status", str(uuid4()))
    assert (code, "no such evaluation" in out) == (1, True)


async def test_stuck_lists_open_cancellations_with_their_last_error(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await postgres_env.admin.execute(
        "UPDATE evaluation_cancel.cancellations SET last_error_code = 'rbac_denied', errors = 1"
    )
    code, out, _ = await cli(postgres_env, "stuck", "--older-than", "0")
    assert code == 0
    assert str(evaluation) in out
    assert all(word in out for word in ("rbac_denied", "blue", "too slow"))
    code, out, _ = await cli(postgres_env, "stuck", "--older-than", "3600")
    assert (code, out) == (0, "No cancellation has been open for more than 3600 s.\n")
    code, out, _ = await cli(postgres_env, "stuck", "--older-than", "3600", "--json")
    assert (code, json.loads(out)) == (0, [])


async def test_a_busy_port_is_one_sentence_and_no_traceback(postgres_env: PostgresEnv) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        listening = {"EVALUATION_CANCEL_HTTP_HOST": "127.0.0.1", "EVALUATION_CANCEL_HTTP_PORT": str(port)}
        code, _, err = await cli(postgres_env, "run", **listening)
    assert code == 2
    assert f"port_unusable: HTTP_HOST and HTTP_PORT: cannot listen on 127.0.0.1:{port}: " in err
    assert "Traceback" not in err


async def test_resolve_closes_an_open_cancellation_and_fails_without_one(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    arguments = ("resolve", str(evaluation), "--reason", "cluster is gone", "--operator", "olga")
    code, _, err = await cli(postgres_env, *arguments)
    assert (code, "no open cancellation" in err) == (1, True)
    await postgres_env.send(command(evaluation))
    code, out, _ = await cli(postgres_env, *arguments)
    assert (code, "closed as cancelled" in out) == (0, True)
    assert await postgres_env.status(evaluation) == "cancelled"


async def test_an_outage_of_postgres_is_one_sentence_and_no_traceback(postgres_env: PostgresEnv) -> None:
    unreachable = {"EVALUATION_CANCEL_POSTGRES_DSN": "postgresql://127.0.0.1:1/x"}
    for arguments in (["status", str(uuid4())], ["stuck"], ["migrate", "check"], ["migrate", "upgrade"]):
        code, _, err = await cli(postgres_env, *arguments, **unreachable)
        assert code == 1, arguments
        assert "Traceback" not in err, arguments
        assert "postgres_unavailable" in err, arguments


async def test_a_refusal_of_postgres_or_kafka_is_one_sentence_and_no_traceback(
    postgres_env: PostgresEnv, empty_database: str
) -> None:
    elsewhere = {
        "EVALUATION_CANCEL_POSTGRES_DSN": empty_database,
        "EVALUATION_CANCEL_EVALUATIONS_TABLE": '{"table": "nowhere"}',
    }
    code, out, err = await cli(postgres_env, "migrate", "upgrade", **elsewhere)
    assert (code, out, err) == (
        1,
        "",
        "evaluations_table_unfit: EVALUATIONS_TABLE does not fit:\n"
        "  table: nowhere does not exist, or the login may not see it\n",
    )
    unreachable = {"EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    no_ca_file = {
        "EVALUATION_CANCEL_KAFKA_SECURITY_PROTOCOL": "SSL",
        "EVALUATION_CANCEL_KAFKA_SSL_CA_FILE": "/nowhere/ca.pem",
    }
    for kafka, expected, words in (
        (unreachable, 1, "kafka_unavailable"),
        (no_ca_file, 2, "kafka_ssl_ca_file: there is no file /nowhere/ca.pem"),
    ):
        code, _, err = await cli(postgres_env, "migrate", "topics", **kafka)
        assert code == expected
        assert "Traceback" not in err
        assert words in err


@pytest.mark.real
async def test_migrate_creates_missing_topics_and_leaves_the_others(
    postgres_env: PostgresEnv, environment: Stack, topics: Topics
) -> None:
    settings = {
        "EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVERS": environment.kafka.bootstrap_servers,
        "EVALUATION_CANCEL_TOPIC_PREFIX": "new-" + topics.prefix,
    }
    code, out, err = await cli(postgres_env, "migrate", "topics", **settings)
    assert code == 0, err
    assert f"new-{topics.commands}" in out
    code, out, _ = await cli(postgres_env, "migrate", "topics", **settings)
    assert (code, "nothing, all topics existed" in out) == (0, True)


async def test_unknown_loops_and_clusters_are_refused_with_their_name(postgres_env: PostgresEnv) -> None:
    code, _, err = await cli(postgres_env, "run", "--loops", "intake,teadown")
    assert (code, "teadown" in err) == (2, True)
    code, _, err = await cli(postgres_env, "run", "--cluster", "mars")
    assert (code, "mars" in err) == (2, True)
