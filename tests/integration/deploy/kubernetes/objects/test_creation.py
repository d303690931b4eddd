"""What the server adds to a new Job, and what it refuses."""

import pytest

from tests.support.kubernetes.raw import BEHAVIOUR, CONTROLLER_UID, Raw, job

JOB_NAME = "batch.kubernetes.io/job-name"


async def test_a_new_job_gets_a_uid_a_version_and_a_time(api: Raw) -> None:
    body = (await api.create_job("new", suspend=True)).body
    assert (body["kind"], body["apiVersion"]) == ("Job", "batch/v1")
    metadata = body["metadata"]
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["generation"] == 1
    assert metadata["namespace"] == api.namespace


async def test_defaults_are_filled_in(api: Raw) -> None:
    body = job("defaults")
    del body["spec"]["parallelism"], body["spec"]["completions"]
    spec = (await api.create(api.jobs, body)).body["spec"]
    expected = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    assert {name: spec.get(name) for name in expected} == expected
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30


async def test_selector_and_labels_carry_the_uid(api: Raw) -> None:
    created = await api.create_job("labels", suspend=True, pod_labels={"own": "label"})
    spec = created.body["spec"]
    assert spec["selector"] == {"matchLabels": {CONTROLLER_UID: created.uid}}
    assert spec["template"]["metadata"]["labels"] == {
        BEHAVIOUR: "runs",
        "own": "label",
        CONTROLLER_UID: created.uid,
        "controller-uid": created.uid,
        JOB_NAME: "labels",
        "job-name": "labels",
    }


async def test_a_job_without_labels_takes_those_of_its_template(api: Raw) -> None:
    created = await api.create_job("bare", suspend=True, pod_labels={"own": "label"})
    assert created.body["metadata"]["labels"] == created.body["spec"]["template"]["metadata"]["labels"]


async def test_a_job_with_labels_keeps_only_its_own(api: Raw) -> None:
    created = await api.create_job("own", suspend=True, labels={"a": "b"})
    assert created.body["metadata"]["labels"] == {"a": "b"}


async def test_a_manual_selector_is_taken_as_it_is(api: Raw) -> None:
    selector = {"matchLabels": {"own": "label"}}
    created = await api.create_job(
        "manual", suspend=True, manualSelector=True, selector=selector, pod_labels={"own": "label"}
    )
    assert created.body["spec"]["selector"] == selector
    assert created.body["spec"]["template"]["metadata"]["labels"] == {BEHAVIOUR: "runs", "own": "label"}


async def test_a_generated_name_gets_five_characters(api: Raw) -> None:
    body = job("x", suspend=True)
    body["metadata"] = {"generateName": "some-"}
    name = (await api.create(api.jobs, body)).body["metadata"]["name"]
    assert name.startswith("some-")
    assert len(name) == len("some-") + 5


async def test_a_name_that_exists_is_409(api: Raw) -> None:
    await api.create_job("twice", suspend=True)
    answer = await api.call("POST", api.jobs, job("twice"))
    assert answer.code == 409
    assert answer.body["reason"] == "AlreadyExists"
    assert answer.body["message"] == 'jobs.batch "twice" already exists'
    assert answer.body["details"] == {"name": "twice", "group": "batch", "kind": "jobs"}


async def test_an_absent_namespace_is_404(api: Raw) -> None:
    answer = await api.call("POST", "/apis/batch/v1/namespaces/absent/jobs", job("x"))
    assert answer.code == 404
    assert answer.body["message"] == 'namespaces "absent" not found'
    assert answer.body["details"] == {"name": "absent", "kind": "namespaces"}


async def test_a_namespace_that_ends_takes_nothing_new(api: Raw) -> None:
    await api.create_job("holds", suspend=True, metadata={"finalizers": ["example.com/hold"]})
    space = f"/api/v1/namespaces/{api.namespace}"
    assert (await api.call("DELETE", space)).code == 200
    assert (await api.get(space)).body["status"]["phase"] == "Terminating"
    answer = await api.call("POST", api.jobs, job("late"))
    assert answer.code == 403
    assert answer.body["reason"] == "Forbidden"
    assert answer.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    patch = {"metadata": {"finalizers": None}}
    await api.until(lambda: _is_ending(api, "holds"))
    await api.call("PATCH", f"{api.jobs}/holds", patch, kind="application/merge-patch+json")
    await api.until(lambda: api.is_gone(space))


async def _is_ending(api: Raw, name: str) -> bool:
    return "deletionTimestamp" in (await api.job(name)).body["metadata"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Capital_Letters"}, "metadata.name"),
        ({"restartPolicy": "Always"}, "spec.template.spec.restartPolicy"),
        ({"containers": []}, "spec.template.spec.containers"),
    ],
)
async def test_an_invalid_job_is_422_and_says_which_field(api: Raw, change: dict[str, object], field: str) -> None:
    body = job("invalid")
    for name, value in change.items():
        target = body["metadata"] if name == "name" else body["spec"]["template"]["spec"]
        target[name] = value
    answer = await api.call("POST", api.jobs, body)
    assert answer.code == 422
    assert answer.body["reason"] == "Invalid"
    assert answer.body["details"]["kind"] == "Job"
    assert field in [cause["field"] for cause in answer.body["details"]["causes"]]


async def test_a_selector_of_ones_own_without_manual_selector_is_422(api: Raw) -> None:
    answer = await api.call("POST", api.jobs, job("own", selector={"matchLabels": {"a": "b"}}))
    assert answer.code == 422
    assert answer.body["reason"] == "Invalid"
