"""Pods that appear for a Job, and what its status tells about them."""

from typing import Any

from tests.support.kubernetes.raw import CONTROLLER_UID, Raw, foreground
from tests.support.kubernetes.under_test import UnderTest

TRACKING = "batch.kubernetes.io/job-tracking"


async def test_a_pod_belongs_to_its_job_by_labels_owner_and_finalizer(api: Raw) -> None:
    created = await api.running_job("owner", ends_after="0")
    (pod,) = await api.pods_of(created.uid)
    metadata = pod["metadata"]
    assert metadata["name"].startswith("owner-")
    assert metadata["generateName"] == "owner-"
    assert metadata["finalizers"] == [TRACKING]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "owner",
            "uid": created.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    for label in (CONTROLLER_UID, "controller-uid"):
        assert metadata["labels"][label] == created.uid
    for label in ("batch.kubernetes.io/job-name", "job-name"):
        assert metadata["labels"][label] == "owner"
    assert metadata["annotations"]["stand.evaluation-cancel/ends-after"] == "0"


async def test_as_many_pods_run_as_parallelism_says(api: Raw) -> None:
    created = await api.running_job("three", pods=3)
    assert await api.count_pods(created.uid) == 3
    status = await api.until(lambda: _status_with(api, "three", active=3, ready=3))
    assert "startTime" in status
    assert "conditions" not in status


async def test_a_job_completes_when_its_pods_succeed(api: Raw) -> None:
    created = await api.create_job("completes", behaviour="completes", parallelism=2)
    status = await api.until(lambda: _finished(api, "completes"))
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert {each["status"] for each in status["conditions"]} == {"True"}
    assert {each["reason"] for each in status["conditions"]} == {"CompletionsReached"}
    assert status["succeeded"] == 2
    assert "active" not in status
    assert status["completionTime"]
    pods = await api.pods_of(created.uid)
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"] * 2
    assert not any("finalizers" in pod["metadata"] for pod in pods)


async def test_a_job_fails_when_its_backoff_limit_is_passed(api: Raw) -> None:
    await api.create_job("fails", behaviour="fails", backoffLimit=0)
    status = await api.until(lambda: _finished(api, "fails"))
    assert [each["type"] for each in status["conditions"]] == ["FailureTarget", "Failed"]
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    assert status["failed"] == 1
    assert "completionTime" not in status


async def test_deleting_a_finished_job_takes_its_pods_along(api: Raw) -> None:
    created = await api.create_job("done", behaviour="completes")
    await api.until(lambda: _finished(api, "done"))
    assert (await api.delete_job("done", foreground(created.uid))).code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/done"))
    assert await api.pods_of(created.uid) == []


async def test_a_suspended_job_has_no_pods_until_it_is_resumed(api: Raw) -> None:
    created = await api.create_job("suspended", suspend=True)
    status = await api.until(lambda: _condition(api, "suspended", "Suspended", "True"))
    assert "startTime" not in status
    assert await api.count_pods(created.uid) == 0
    await _suspend(api, "suspended", value=False)
    await api.until(lambda: api.count_pods(created.uid, "Running"), 1)
    await api.until(lambda: _condition(api, "suspended", "Suspended", "False"))


async def test_suspending_ends_the_pods(api: Raw) -> None:
    created = await api.running_job("halted")
    await _suspend(api, "halted", value=True)
    await api.until(lambda: api.count_pods(created.uid), 0)
    status = await api.until(lambda: _condition(api, "halted", "Suspended", "True"))
    assert "active" not in status


async def test_pods_of_a_manual_selector_carry_no_uid_label_but_an_owner(api: Raw) -> None:
    created = await api.create_job(
        "manual", manualSelector=True, selector={"matchLabels": {"own": "x"}}, pod_labels={"own": "x"}
    )
    pods = await api.until(lambda: _labelled(api, "own=x"))
    assert pods[0]["metadata"]["ownerReferences"][0]["uid"] == created.uid
    assert await api.pods_of(created.uid) == []
    await api.delete_job("manual", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/manual"))
    assert await _labelled(api, "own=x") == []


async def test_a_job_fails_when_it_is_active_for_too_long(api: Raw) -> None:
    created = await api.create_job("long", activeDeadlineSeconds=1)
    status = await api.until(lambda: _finished(api, "long"))
    assert [each["type"] for each in status["conditions"]] == ["FailureTarget", "Failed"]
    assert status["conditions"][-1]["reason"] == "DeadlineExceeded"
    await api.until(lambda: api.count_pods(created.uid), 0)


async def test_a_finished_job_goes_when_its_time_to_live_is_over(api: Raw) -> None:
    created = await api.create_job("lives", behaviour="completes", ttlSecondsAfterFinished=1)
    await api.until(lambda: api.is_gone(f"{api.jobs}/lives"))
    assert await api.pods_of(created.uid) == []


async def test_a_pod_deleted_by_hand_is_replaced(api: Raw) -> None:
    created = await api.running_job("replaced")
    (pod,) = await api.pods_of(created.uid)
    await api.call("DELETE", f"{api.pods}/{pod['metadata']['name']}")
    others = await api.until(lambda: _others(api, created.uid, pod["metadata"]["uid"]))
    assert len(others) == 1
    await api.until(lambda: _status_with(api, "replaced", failed=1, active=1))


async def test_no_pods_come_while_the_controllers_are_paused(api: Raw, under_test: UnderTest) -> None:
    async with under_test.controllers_paused():
        created = await api.create_job("waits")
        assert await api.count_pods(created.uid) == 0
    await api.until(lambda: api.count_pods(created.uid, "Running"), 1)


async def _status_with(api: Raw, name: str, **counts: int) -> Any:
    status = await api.job_status(name)
    return status if all(status.get(key) == value for key, value in counts.items()) else None


async def _finished(api: Raw, name: str) -> Any:
    status = await api.job_status(name)
    kinds = {each["type"] for each in status.get("conditions", ())}
    return status if kinds & {"Complete", "Failed"} else None


async def _condition(api: Raw, name: str, kind: str, value: str) -> Any:
    status = await api.job_status(name)
    pairs = {(each["type"], each["status"]) for each in status.get("conditions", ())}
    return status if (kind, value) in pairs else None


async def _suspend(api: Raw, name: str, *, value: bool) -> None:
    patch = {"spec": {"suspend": value}}
    answer = await api.call("PATCH", f"{api.jobs}/{name}", patch, kind="application/merge-patch+json")
    assert answer.code == 200, answer
    assert answer.body["metadata"]["generation"] == 2


async def _labelled(api: Raw, selector: str) -> list[Any]:
    return list((await api.get(api.pods, labelSelector=selector)).body["items"])


async def _others(api: Raw, uid: str, not_this: str) -> list[Any]:
    return [pod for pod in await api.pods_of(uid) if pod["metadata"]["uid"] != not_this]
