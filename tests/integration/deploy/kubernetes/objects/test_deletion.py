"""What a DELETE of a Job does, by its policy and preconditions."""

from tests.support.kubernetes.raw import Raw, foreground
from tests.support.kubernetes.under_test import UnderTest

FOREGROUND = "foregroundDeletion"


async def test_foreground_keeps_the_job_until_its_pods_are_gone(api: Raw) -> None:
    created = await api.running_job("one", ends_after="1", behaviour="runs")
    answer = await api.delete_job("one", foreground(created.uid))
    assert answer.code == 200
    assert answer.body["kind"] == "Job"
    assert answer.body["metadata"]["finalizers"] == [FOREGROUND]
    assert answer.body["metadata"]["deletionTimestamp"]
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 0
    pods = await api.until(lambda: _terminating(api, created.uid))
    still = await api.job("one")
    assert still.code == 200, "the Job has to outlive its pods"
    assert len(pods) == 1
    await api.until(lambda: api.is_gone(f"{api.jobs}/one"))
    assert await api.pods_of(created.uid) == []


async def _terminating(api: Raw, uid: str) -> list[object]:
    return [pod for pod in await api.pods_of(uid) if "deletionTimestamp" in pod["metadata"]]


async def test_foreground_deletes_a_job_without_pods_soon(api: Raw) -> None:
    created = await api.create_job("none", suspend=True)
    assert (await api.delete_job("none", foreground(created.uid))).code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/none"))


async def test_repeating_foreground_with_the_same_uid_answers_200_and_changes_nothing(api: Raw) -> None:
    created = await api.running_job("again", behaviour="stuck")
    first = await api.delete_job("again", foreground(created.uid))
    second = await api.delete_job("again", foreground(created.uid))
    assert (first.code, second.code) == (200, 200)
    assert second.uid == created.uid
    assert second.body["metadata"]["finalizers"] == [FOREGROUND]
    assert second.body["metadata"]["deletionTimestamp"] == first.body["metadata"]["deletionTimestamp"]
    assert await api.count_pods(created.uid) == 1


async def test_a_wrong_uid_is_409_and_nothing_is_deleted(api: Raw) -> None:
    created = await api.running_job("other")
    wrong = "00000000-0000-4000-8000-000000000000"
    answer = await api.delete_job("other", foreground(wrong))
    assert answer.code == 409
    assert answer.body["kind"] == "Status"
    assert answer.body["status"] == "Failure"
    assert answer.body["reason"] == "Conflict"
    assert answer.body["code"] == 409
    assert answer.body["details"] == {"name": "other", "group": "batch", "kind": "Job"}
    assert answer.body["message"] == (
        f'Operation cannot be fulfilled on Job.batch "other": the UID in the precondition ({wrong}) does not match '
        f"the UID in record ({created.uid}). The object might have been deleted and then recreated"
    )
    after = await api.job("other")
    assert "deletionTimestamp" not in after.body["metadata"]
    assert "finalizers" not in after.body["metadata"]
    assert await api.count_pods(created.uid, "Running") == 1


async def test_a_job_recreated_under_its_name_is_safe_from_the_old_uid(api: Raw) -> None:
    old = await api.create_job("twice", suspend=True)
    await api.delete_job("twice", foreground(old.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/twice"))
    new = await api.create_job("twice", suspend=True)
    assert (await api.delete_job("twice", foreground(old.uid))).code == 409
    assert (await api.job("twice")).uid == new.uid


async def test_a_wrong_resource_version_is_409_and_nothing_is_deleted(api: Raw) -> None:
    created = await api.create_job("version", suspend=True)
    answer = await api.delete_job("version", {"preconditions": {"resourceVersion": "1"}})
    assert answer.code == 409
    assert "the ResourceVersion in the precondition (1) does not match" in answer.body["message"]
    assert (await api.job("version")).uid == created.uid


async def test_an_absent_job_is_404_with_a_status_body(api: Raw) -> None:
    answer = await api.delete_job("absent", foreground("00000000-0000-4000-8000-000000000000"))
    assert answer.code == 404
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'jobs.batch "absent" not found',
        "reason": "NotFound",
        "details": {"name": "absent", "group": "batch", "kind": "jobs"},
        "code": 404,
    }


async def test_background_lets_the_job_vanish_at_once_while_its_pods_run(api: Raw, under_test: UnderTest) -> None:
    created = await api.running_job("background")
    async with under_test.controllers_paused():
        answer = await api.delete_job("background", {"propagationPolicy": "Background"})
        assert answer.code == 200
        assert answer.body["status"] == "Success"
        assert answer.body["details"] == {
            "name": "background",
            "group": "batch",
            "kind": "jobs",
            "uid": created.uid,
        }
        assert await api.is_gone(f"{api.jobs}/background")
        assert await api.count_pods(created.uid, "Running") == 1
    await api.until(lambda: api.count_pods(created.uid), 0)


async def test_background_after_foreground_removes_the_finalizer_and_the_job(api: Raw) -> None:
    created = await api.running_job("mixed", behaviour="stuck")
    await api.delete_job("mixed", foreground(created.uid))
    answer = await api.delete_job("mixed", {"propagationPolicy": "Background"})
    assert answer.code == 200
    assert answer.body["status"] == "Success"
    assert await api.is_gone(f"{api.jobs}/mixed")
    assert await api.count_pods(created.uid) == 1, "its stuck pod is left behind"


async def test_without_a_policy_the_pods_are_orphaned_and_run_on(api: Raw) -> None:
    created = await api.running_job("default")
    answer = await api.delete_job("default")
    assert answer.code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/default"))
    await api.until(lambda: _without_owner(api, created.uid), 1)
    assert await api.count_pods(created.uid, "Running") == 1


async def test_orphan_lets_the_pods_run_on_without_an_owner(api: Raw) -> None:
    created = await api.running_job("orphan")
    answer = await api.delete_job("orphan", {"propagationPolicy": "Orphan"})
    assert answer.body["metadata"]["finalizers"] == ["orphan"]
    await api.until(lambda: api.is_gone(f"{api.jobs}/orphan"))
    await api.until(lambda: _without_owner(api, created.uid), 1)
    pods = await api.pods_of(created.uid)
    await api.until(lambda: _without_finalizers(api, created.uid), 1)
    assert "deletionTimestamp" not in pods[0]["metadata"]


async def _without_owner(api: Raw, uid: str) -> int:
    return sum("ownerReferences" not in pod["metadata"] for pod in await api.pods_of(uid))


async def _without_finalizers(api: Raw, uid: str) -> int:
    return sum("finalizers" not in pod["metadata"] for pod in await api.pods_of(uid))


async def test_the_body_wins_over_the_query(api: Raw) -> None:
    created = await api.running_job("body")
    answer = await api.delete_job("body", {"propagationPolicy": "Orphan"}, propagationPolicy="Foreground")
    assert answer.body["metadata"]["finalizers"] == ["orphan"]
    await api.until(lambda: _without_owner(api, created.uid), 1)


async def test_a_body_without_a_policy_hides_the_policy_of_the_query(api: Raw) -> None:
    created = await api.running_job("hidden")
    body = {"preconditions": {"uid": created.uid}}
    answer = await api.delete_job("hidden", body, propagationPolicy="Foreground")
    assert answer.body["metadata"]["finalizers"] == ["orphan"]


async def test_the_query_counts_when_there_is_no_body(api: Raw) -> None:
    await api.running_job("query", behaviour="stuck")
    answer = await api.delete_job("query", propagationPolicy="Foreground")
    assert answer.body["metadata"]["finalizers"] == [FOREGROUND]


async def test_the_grace_period_of_the_job_is_not_passed_on_to_its_pods(api: Raw) -> None:
    created = await api.running_job("grace", behaviour="stuck")
    await api.delete_job("grace", {**foreground(created.uid), "gracePeriodSeconds": 3})
    pods = await api.until(lambda: _terminating(api, created.uid))
    assert pods[0]["metadata"]["deletionGracePeriodSeconds"] == 30  # type: ignore[index]


async def test_an_unknown_policy_is_422(api: Raw) -> None:
    await api.create_job("policy", suspend=True)
    answer = await api.delete_job("policy", {"propagationPolicy": "Sideways"})
    assert answer.code == 422
    assert answer.body["reason"] == "Invalid"
    assert (await api.job("policy")).code == 200


async def test_the_old_orphan_dependents_flag_still_counts_and_answers_202(api: Raw) -> None:
    created = await api.create_job("flag", suspend=True, metadata={"finalizers": ["example.com/hold"]})
    answer = await api.delete_job("flag", {"orphanDependents": False})
    assert answer.code == 202
    assert answer.uid == created.uid
    await _let_go(api, "flag")


async def test_a_foreign_finalizer_keeps_a_job_whose_pods_are_gone(api: Raw) -> None:
    created = await api.running_job("held", metadata={"finalizers": ["example.com/hold"]})
    answer = await api.delete_job("held", foreground(created.uid))
    assert answer.body["metadata"]["finalizers"] == ["example.com/hold", FOREGROUND]
    await api.until(lambda: api.count_pods(created.uid), 0)
    await api.until(lambda: _finalizers(api, "held"), ["example.com/hold"])
    # A retry puts the finalizer back; the collector has to take it off once more.
    again = await api.delete_job("held", foreground(created.uid))
    assert again.code == 200
    await _let_go(api, "held")
    await api.until(lambda: api.is_gone(f"{api.jobs}/held"))


async def _finalizers(api: Raw, name: str) -> list[str]:
    return list((await api.job(name)).body["metadata"].get("finalizers", []))


async def _let_go(api: Raw, name: str) -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/hold"]}}
    answer = await api.call("PATCH", f"{api.jobs}/{name}", patch, kind="application/strategic-merge-patch+json")
    assert answer.code == 200, answer


async def test_paused_controllers_leave_the_pods_untouched(api: Raw, under_test: UnderTest) -> None:
    created = await api.running_job("paused")
    async with under_test.controllers_paused():
        await api.delete_job("paused", foreground(created.uid))
        pods = await api.pods_of(created.uid)
        assert [pod["metadata"].get("deletionTimestamp") for pod in pods] == [None]
        assert (await api.job("paused")).code == 200
    await api.until(lambda: api.is_gone(f"{api.jobs}/paused"))


async def test_deleting_a_collection_takes_every_job_its_selector_matches(api: Raw) -> None:
    for name, team in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create_job(name, suspend=True, labels={"team": team})
    body = {"propagationPolicy": "Background"}
    answer = await api.call("DELETE", api.jobs, body, params={"labelSelector": "team=x"})
    assert answer.code == 200
    assert (await api.get(api.jobs)).names == ["c"]
    assert (await api.call("DELETE", api.jobs, body)).code == 200
    assert (await api.get(api.jobs)).names == []
