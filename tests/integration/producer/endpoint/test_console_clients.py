"""The Console's own published clients cancel through the endpoint, with tokens as the Console writes them."""

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.console_clients import Ran, cancel_by_command_line, cancel_by_sdk
from tests.support.producer.service import Service

pytestmark = pytest.mark.real

Client = Callable[[Path, str, str, str], Awaitable[Ran]]
TEAM = uuid.uuid4()


def token_of(served: Service) -> str:
    scopes = ["evaluations:read", "evaluations:write"]
    return served.tokens.token("ada", teams={f"team_{TEAM.hex}": {"role": "owner", "scopes": scopes}})


@pytest.fixture(params=[cancel_by_command_line, cancel_by_sdk], ids=["command line", "SDK"])
def client(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    return chosen


async def test_the_consoles_clients_cancel_and_read_what_is_over(
    served: Service, client: Client, tmp_path: Path
) -> None:
    evaluation, token = str(await served.evaluation(str(TEAM))), token_of(served)
    first = await client(tmp_path, served.url, token, evaluation)
    assert (first.code, "cancelled" in first.said) == (0, True)
    again = await client(tmp_path, served.url, token, evaluation)
    assert again.code != 0
    assert "The evaluation is already cancelled" in again.said


async def test_the_consoles_clients_read_what_cannot_be_cancelled(
    served: Service, client: Client, tmp_path: Path
) -> None:
    unknown = await client(tmp_path, served.url, token_of(served), str(uuid.uuid4()))
    assert (unknown.code != 0, "not found" in unknown.said.lower()) == (True, True)
    odd = await client(tmp_path, served.url, token_of(served), "not-a-uuid")
    assert (odd.code != 0, "uuid" in odd.said.lower()) == (True, True)
    refused = await client(tmp_path, served.url, "bad.token.here", str(uuid.uuid4()))
    assert refused.code != 0
    assert any(words in refused.said for words in ("bearer token is invalid", "the token cannot be read"))


async def test_the_consoles_clients_hear_of_a_cancellation_that_outlives_their_patience(
    served: Service, client: Client, tmp_path: Path
) -> None:
    """Pods that take 40 s: the clients give up after 30 s, and are answered before."""
    evaluation = await served.slow_evaluation(str(TEAM))
    ran = await client(tmp_path, served.url, token_of(served), str(evaluation))
    assert (ran.code, "cancelling" in ran.said) == (0, True)
