"""Each row of the contract's table of answers, over sockets, with a consumer that decides."""

import asyncio
import json
import uuid

import pytest

from deploy.local.stand.endpoint import endpoint
from tests.support.producer.service import FAST, Service
from tests.support.waiting import until

PROMPT = {"prefer": "wait=55"}
SHORT = {"prefer": "wait=1"}


async def test_a_cancelled_evaluation_is_200_and_says_that_its_stop_is_proven(served: Service) -> None:
    evaluation = await served.evaluation()
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel")
    assert answer.status_code == 200
    assert answer.json() == {"status": "cancelled", "evaluation_id": str(evaluation), "stop": "proven"}


async def test_every_spelling_of_the_id_means_the_same_evaluation(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    spelt = [str(evaluation).upper(), evaluation.hex, f"{{{evaluation}}}", f"urn:uuid:{evaluation}"]
    async with served.client() as client:
        asked = [client.post(f"/v1/evaluations/{each}/cancel", headers={"prefer": "respond-async"}) for each in spelt]
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [202] * len(spelt)
    assert {answer.json()["evaluation_id"] for answer in answers} == {str(evaluation)}
    assert await served.count("cancellations", evaluation) == 1


async def test_still_stopping_after_the_wait_is_202_and_200_comes_only_when_it_is_recorded(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    key = {"idempotency-key": str(uuid.uuid4())}
    async with served.client() as client:
        slow = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=SHORT | key)
        assert slow.status_code == 202
        assert slow.json()["status"] == "cancelling"
        assert slow.headers["preference-applied"] == "wait=1"
        assert int(slow.headers["retry-after"]) > 0
        waiting = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | key))
        progress = (await client.get(slow.headers["location"])).json()
        assert (progress["status"], progress["phase"], progress["evidence"]) == ("cancelling", "accepted", None)
        assert not waiting.done()
        await served.end(evaluation)
        done = await waiting
        assert (done.status_code, done.json()["status"]) == (200, "cancelled")
        assert (await client.get(slow.headers["location"])).json()["status"] == "cancelled"


async def test_for_clients_of_the_old_contract_still_stopping_is_200_that_says_cancelling(served: Service) -> None:
    settings = {**FAST, "ENDPOINT_SLOW_ANSWER": "200"}
    evaluation = await served.slow_evaluation()
    path, key = f"/v1/evaluations/{evaluation}/cancel", {"idempotency-key": str(uuid.uuid4())}
    async with (
        endpoint(served.stack, served.dsn, served.kafka, served.tokens, name="endpoint-old", settings=settings) as old,
        served.client(url=old.url) as client,
    ):
        slow = await client.post(path, headers=SHORT | key)
        assert (slow.status_code, slow.json()) == (200, {"status": "cancelling", "evaluation_id": str(evaluation)})
        assert slow.headers["location"]
        await served.end(evaluation)
        done = await client.post(path, headers=PROMPT | key)
        cancelled = {"status": "cancelled", "evaluation_id": str(evaluation), "stop": "presumed"}
        assert (done.status_code, done.json()) == (200, cancelled)


async def test_the_status_pages_tell_attempts_the_last_error_times_and_evidence_so_far(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "respond-async"})
        pods = [{"name": f"pod-{n}", "uid": f"u{n}", "first_seen_at": "2026-01-02T03:04:05Z"} for n in range(150)]
        evidence = {"job": "its uid", "pods": pods, "pod_count": 200}
        await served.database.execute(
            "UPDATE evaluation_cancel.cancellations SET phase = 'stopping', attempts = 3, evidence = $2,"
            " last_error_code = 'unreachable', last_error_at = now() WHERE evaluation_id = $1",
            evaluation,
            json.dumps(evidence),
        )
        pages = [
            (await client.get(page)).json()
            for page in (answer.headers["location"], f"/v1/evaluations/{evaluation}/cancellation")
        ]
        await served.end(evaluation)
    for page in pages:
        told = (page["status"], page["phase"], page["attempts"], page["last_error_code"])
        assert told == ("cancelling", "stopping", 3, "unreachable")
        assert page["last_error_at"] >= page["accepted_at"] >= page["requested_at"]
        assert page["ended_at"] is None
        assert (page["evidence"]["job"], page["evidence"]["pod_count"]) == ("its uid", 200)
        assert len(page["evidence"]["pods"]) == 100
        assert page["evidence"]["pods"][0] == {
            "name": "pod-0",
            "first_seen_at": "2026-01-02T03:04:05Z",
            "gone_at": None,
            "node": None,
            "stopped": None,
        }
    assert (pages[0]["decision"], pages[0]["command_id"]) == ("accepted", answer.json()["command_id"])
    assert pages[0]["decided_at"] >= pages[0]["received_at"]


async def test_respond_async_is_answered_as_soon_as_it_is_decided(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "respond-async"})
    # The default wait is 25 s: had it been waited for, the operator below would have come too late.
    assert answer.status_code == 202
    assert answer.json()["status"] == "cancelling"
    assert answer.headers["preference-applied"] == "respond-async"
    await served.end(evaluation)


async def test_a_second_caller_joins_and_shares_the_outcome(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client("ada") as ada, served.client("bob") as bob:
        both = [
            asyncio.create_task(each.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
            for each in (ada, bob)
        ]
        await until(
            lambda: served.database.fetchval(
                "SELECT count(*) = 2 FROM evaluation_cancel.commands WHERE evaluation_id = $1", evaluation
            )
        )
        await served.end(evaluation)
        assert [answer.status_code for answer in await asyncio.gather(*both)] == [200, 200]


async def test_cancelled_already_is_400_with_when_and_by_which(served: Service) -> None:
    evaluation = await served.evaluation()
    async with served.client() as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel")).status_code == 200
        again = await client.post(f"/v1/evaluations/{evaluation}/cancel")
        latest = (await client.get(f"/v1/evaluations/{evaluation}/cancellation")).json()
    assert again.status_code == 400
    problem = again.json()
    assert (problem["code"], problem["status"]) == ("already_cancelled", "cancelled")
    assert problem["cancellation_id"] == latest["cancellation_id"]
    assert problem["ended_at"] == latest["ended_at"]


async def test_completed_already_is_400_with_its_status(served: Service) -> None:
    evaluation = await served.evaluation()
    await served.database.execute("SELECT evaluation_cancel.starting($1, 'c', 'n', 'j')", evaluation)
    await served.report(evaluation, "running")
    await served.report(evaluation, "succeeded")
    async with served.client() as client:
        answer = await client.post(f"/v1/evaluations/{evaluation}/cancel")
    assert answer.status_code == 400
    assert answer.json()["code"] == "already_completed"
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["ended_at"]


async def test_a_failed_cancellation_is_500_with_its_code_and_location(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client() as client:
        waiting = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
        await served.opened(evaluation)
        await served.end(evaluation, "failed")
        answer = await waiting
        assert answer.status_code == 500
        assert answer.json()["code"]
        assert (await client.get(answer.headers["location"])).json()["status"] == "failed"


@pytest.mark.parametrize(
    "body",
    [
        b'{"reason": 7}',
        b'{"cleanup_artifacts": "yes"}',
        b'{"cleanup_artefacts": true}',
        b"{",
        b"[]",
        b'"x"',
        b'{"reason": "\xff"}',
        b'{"reason": "\\ud800"}',
        b'{"reason": "\\u0000"}',
        b'{"reason": NaN}',
        json.dumps({"reason": "x" * 1025}).encode(),
        b"[" * 5000,
        b'{"a":' * 2000,
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
async def test_a_bad_body_is_422_in_fastapis_form_and_nothing_is_published(served: Service, body: bytes) -> None:
    evaluation = await served.evaluation()
    async with served.client() as client:
        answer = await client.post(
            f"/v1/evaluations/{evaluation}/cancel", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422
        assert {"loc", "msg", "type"} == set(answer.json()["detail"][0])
        assert (await client.get(f"/v1/evaluations/{evaluation}/cancellation")).status_code == 404
    assert await served.count("commands", evaluation) == 0


async def test_what_is_no_uuid_is_422(served: Service) -> None:
    async with served.client() as client:
        answer = await client.post("/v1/evaluations/not-a-uuid/cancel")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "evaluation_id"]


async def test_reason_and_cleanup_arrive(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client("grace") as client:
        body = {"reason": "réason 🙂", "cleanup_artifacts": True}
        await client.post(f"/v1/evaluations/{evaluation}/cancel", json=body, headers={"prefer": "respond-async"})
        latest = (await client.get(f"/v1/evaluations/{evaluation}/cancellation")).json()
    assert latest["reason"] == "réason 🙂"
    assert latest["cleanup"] == "pending"
    assert latest["requested_by"] == {"kind": "user", "id": "grace"}
    await served.end(evaluation)


async def test_while_its_row_is_locked_a_command_is_submitted_and_later_decided(served: Service) -> None:
    evaluation = await served.evaluation()
    key = {"idempotency-key": str(uuid.uuid4())}
    async with served.client() as client:
        async with served.database.acquire() as other, other.transaction():
            await other.execute("SELECT FROM evaluation_cancel.lock_evaluations(ARRAY[$1::uuid])", evaluation)
            answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "wait=2"} | key)
            assert (answer.status_code, answer.json()["status"]) == (202, "submitted")
        done = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | key)
    assert (done.status_code, done.json()["status"]) == (200, "cancelled")
