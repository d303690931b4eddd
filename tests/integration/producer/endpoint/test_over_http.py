"""`cancel --url`: the same command line through the endpoint, with the same exit codes."""

import asyncio
import json
import os
import sys
import uuid
from typing import Any

from deploy.local.processes.ports import LOOPBACK, free_port
from tests.support.producer.service import TEAM, Service

GOOD = ""
"""Stands for a token that is good."""


async def cancel(served: Service, *arguments: object, token: str | None = GOOD) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and what was printed as JSON."""
    given = served.tokens.token("ada", [TEAM]) if token is GOOD else token
    secret = {} if given is None else {"EVALUATION_CANCEL_TOKEN": given}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evaluation_cancel.producer", "cancel", "--json", "--url", served.url),
        *map(str, arguments),
        env={**os.environ, **secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        said, wrong = await program.communicate()
    assert program.returncode is not None
    assert b"Traceback" not in wrong
    assert given is None or given.encode() not in said + wrong
    return program.returncode, [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]


async def test_with_wait_it_ends_when_it_is_cancelled(served: Service) -> None:
    evaluations = [await served.evaluation() for _ in range(3)]
    code, said = await cancel(served, *evaluations, "--wait", "--reason", "wrong model")
    assert code == 0
    assert {row["evaluation_id"] for row in said} == {str(each) for each in evaluations}
    assert {row["state"] for row in said} == {"cancelled"}
    query = "SELECT reason FROM evaluation_cancel.cancellations WHERE evaluation_id = $1"
    assert await served.database.fetchval(query, evaluations[0]) == "wrong model"


async def test_without_wait_it_ends_when_it_is_decided(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    code, said = await cancel(served, evaluation)
    assert (code, said[0]["state"]) == (0, "accepted")
    await served.end(evaluation)


async def test_what_takes_too_long_is_not_given_up_and_said_to_be_unknown(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    code, said = await cancel(served, evaluation, "--wait", "--timeout", "2")
    assert (code, said[0]["state"]) == (3, "no_outcome_yet")
    assert await served.count("cancellations", evaluation) == 1
    await served.end(evaluation)


async def test_one_refused_makes_the_exit_code_1(served: Service) -> None:
    code, said = await cancel(served, uuid.uuid4(), await served.evaluation(), "--wait")
    assert code == 1
    assert {(row["state"], row["code"]) for row in said} == {("rejected", "not_found"), ("cancelled", None)}


async def test_already_cancelled_is_as_good_as_cancelled(served: Service) -> None:
    evaluation = await served.evaluation()
    assert (await cancel(served, evaluation, "--wait"))[0] == 0
    code, said = await cancel(served, evaluation, "--wait")
    assert (code, said[0]["state"]) == (0, "already_cancelled")


async def test_the_same_command_id_counts_once(served: Service) -> None:
    evaluation, same = await served.evaluation(), uuid.uuid4()
    for _ in range(2):
        code, said = await cancel(served, evaluation, "--wait", "--command-id", same)
        assert (code, said[0]["state"]) == (0, "cancelled")
    assert await served.count("commands", evaluation) == 1


async def test_a_bad_token_is_refused_and_said_so(served: Service) -> None:
    code, said = await cancel(served, uuid.uuid4(), token="not-a-token")
    assert (code, said[0]["code"]) == (1, "unauthenticated")


async def test_wrong_usage_sends_nothing(served: Service) -> None:
    evaluation = await served.evaluation()
    assert (await cancel(served, evaluation, token=None))[0] == 2
    assert (await cancel(served, evaluation, "--user", "bob"))[0] == 2
    assert (await cancel(served, evaluation, "--url", "http://example.org"))[0] == 2
    assert await served.count("commands", evaluation) == 0


async def test_where_nobody_listens_the_outcome_is_unknown(served: Service) -> None:
    nobody = f"http://{LOOPBACK}:{free_port()}"
    code, said = await cancel(served, uuid.uuid4(), "--url", nobody, "--wait", "--timeout", "1.5")
    assert (code, said[0]["code"]) == (3, "endpoint_unreachable")
