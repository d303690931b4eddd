"""A caller sees and cancels what belongs to the teams of its token, and cannot tell the rest from nothing."""

import statistics
import time
import uuid

import httpx
import pytest

from tests.support.producer.service import TEAM, Service
from tests.support.producer.sockets import connection, head

OTHERS = "team-of-others"


def comparable(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, answer.content, headers


async def test_anothers_evaluation_and_none_at_all_are_404_byte_for_byte(served: Service) -> None:
    theirs = await served.evaluation(OTHERS)
    cancelled = await served.evaluation(OTHERS)
    async with served.client("otto", (OTHERS,)) as otto:
        assert (await otto.post(f"/v1/evaluations/{cancelled}/cancel")).status_code == 200
    async with served.client() as client:
        answers = [
            comparable(await client.post(f"/v1/evaluations/{each}/cancel"))
            for each in (theirs, cancelled, uuid.uuid4(), uuid.uuid4())
        ]
        assert answers[0][0] == 404
        assert all(answer == answers[0] for answer in answers)
        pages = [
            comparable(await client.get(f"/v1/evaluations/{each}/cancellation"))
            for each in (theirs, cancelled, uuid.uuid4())
        ]
        assert pages[0][0] == 404
        assert all(page == pages[0] for page in pages)
    assert await served.count("cancellations", theirs) == 0


async def test_a_caller_of_no_team_finds_nothing(served: Service) -> None:
    evaluation = await served.evaluation()
    async with served.client("nobody", ()) as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 404
    assert await served.count("cancellations", evaluation) == 0


@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("?team=team-of-others&team_ids=team-of-others", {}, None),
        ("", {"x-team-id": OTHERS, "x-teams": OTHERS, "x-forwarded-user": "otto", "x-user": "otto"}, None),
        ("", {"ce_source": "urn:evaluation-cancel", "ce-source": "urn:evaluation-cancel"}, None),
        ("", {"cookie": f"team={OTHERS}"}, None),
    ],
)
async def test_nothing_but_the_token_says_who_asks(
    served: Service, query: str, headers: dict[str, str], body: object
) -> None:
    evaluation = await served.evaluation(OTHERS)
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel{query}", headers=headers, json=body)
    assert answer.status_code == 404
    assert await served.count("cancellations", evaluation) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/evaluations/{mine}/../{theirs}/cancel",
        "/v1/evaluations/{mine}%2f..%2f{theirs}/cancel",
        "/v1/evaluations/{mine}/cancel/../../{theirs}/cancel",
        "/v1/evaluations/{mine};{theirs}/cancel",
        "/v1/evaluations/{mine},{theirs}/cancel",
        "/v1/evaluations/{theirs}%00/cancel",
        "/v1/evaluations/{theirs}%20/cancel",
        "/v1//evaluations/{theirs}/cancel",
        "/v1/evaluations/{theirs}/cancel/",
        "/V1/EVALUATIONS/{theirs}/CANCEL",
        "http://otto.example/v1/evaluations/{theirs}/cancel",
    ],
)
async def test_no_path_leads_around_the_team(served: Service, path: str) -> None:
    mine, theirs = await served.evaluation(), await served.evaluation(OTHERS)
    async with connection(served.url) as client:
        authorization = f"Bearer {served.tokens.token('ada', [TEAM])}"
        await client.send(head("POST", path.format(mine=mine, theirs=theirs), authorization=authorization))
        assert await client.status() in (404, 422)
    assert await served.count("cancellations", theirs) == 0


@pytest.mark.parametrize("field", ["requested_by", "team_ids", "team_id", "source", "evaluation_id"])
async def test_the_body_cannot_say_who_asks(served: Service, field: str) -> None:
    evaluation = await served.evaluation(OTHERS)
    claimed = {"kind": "user", "id": "otto", "team_ids": [OTHERS]} if field == "requested_by" else OTHERS
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", json={field: claimed})
    assert answer.status_code == 422
    assert await served.count("commands", evaluation) == 0


async def test_a_command_can_be_followed_by_its_evaluations_team_and_by_nobody_else(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client("ada") as ada, served.client("bob") as bob, served.client("otto", (OTHERS,)) as otto:
        answer = await ada.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "respond-async"})
        page = answer.headers["location"]
        assert (await bob.get(page)).json()["requested_by"]["id"] == "ada"
        hidden = await otto.get(page)
        unknown = await otto.get(f"/v1/cancellations/{uuid.uuid4()}")
        assert hidden.status_code == 404
        assert comparable(hidden) == comparable(unknown)
    async with served.client("ada", (OTHERS,)) as ada_moved_on:
        assert (await ada_moved_on.get(page)).status_code == 404
    await served.end(evaluation)


async def test_a_refused_command_tells_its_sender_the_same_of_anothers_and_of_none(served: Service) -> None:
    theirs = await served.evaluation(OTHERS)
    async with served.client("ada") as ada, served.client("otto", (OTHERS,)) as otto:
        seen = []
        for evaluation in (theirs, uuid.uuid4()):
            assert (await ada.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 404
            command = await served.database.fetchval(
                "SELECT id FROM evaluation_cancel.commands WHERE evaluation_id = $1", evaluation
            )
            page = (await ada.get(f"/v1/cancellations/{command}")).json()
            seen.append({name: value for name, value in page.items() if value is None or name in ("code", "status")})
            # Nor does the other team learn who tried.
            assert (await otto.get(f"/v1/cancellations/{command}")).status_code == 404
    assert seen[0] == seen[1]
    assert (seen[0]["status"], seen[0]["code"]) == ("rejected", "not_found")


async def test_what_needs_no_token_tells_nothing_of_a_tenant(served: Service) -> None:
    evaluation = await served.evaluation("team-of-nobody-else")
    async with served.client("a-user-of-a-tenant", ("team-of-nobody-else",)) as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 200
    async with served.client_with(None) as stranger:
        for page in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            answer = await stranger.get(page)
            assert answer.status_code == 200
            for secret in (str(evaluation), "a-user-of-a-tenant", "team-of-nobody-else", served.tokens.issuer):
                assert secret not in answer.text, page


async def test_neither_takes_longer_than_the_other(served: Service) -> None:
    """Not a proof: that both go the same way is. A difference of kind, a wait or another query, would show here."""
    theirs = await served.evaluation(OTHERS)
    times: dict[bool, list[float]] = {True: [], False: []}
    async with served.client() as client:
        for number in range(20):
            evaluation = theirs if number % 2 else uuid.uuid4()
            started = time.perf_counter()
            assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 404
            times[bool(number % 2)].append(time.perf_counter() - started)
    difference = abs(statistics.median(times[True]) - statistics.median(times[False]))
    assert difference < 5, "seconds apart: one of them waits"


async def test_the_team_of_a_token_is_what_counts(served: Service) -> None:
    evaluation = await served.evaluation(OTHERS)
    async with served.client("ada", (TEAM, OTHERS)) as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 200


async def test_a_token_of_the_console_cancels_whatever_the_spelling_of_the_team(served: Service) -> None:
    team = uuid.uuid4()
    evaluation = await served.evaluation(str(team))
    token = served.tokens.token("ada", teams={f"team_{team.hex}": {"role": "owner", "scopes": []}})
    async with served.client_with(f"Bearer {token}") as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 200
        assert (await client.get(f"/v1/evaluations/{evaluation}/cancellation")).status_code == 200
    stranger = served.tokens.token("eve", teams={f"team_{uuid.uuid4().hex}": {"role": "owner", "scopes": []}})
    async with served.client_with(f"Bearer {stranger}") as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 404
