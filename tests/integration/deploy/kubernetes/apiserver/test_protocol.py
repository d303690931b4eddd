"""HTTP around the API: unknown paths, wrong methods, bodies that are none, updates that come too late."""

import pytest

from tests.support.kubernetes.raw import Raw

MERGE = "application/merge-patch+json"


async def test_an_unknown_path_is_404_in_plain_text(api: Raw) -> None:
    answer = await api.get("/apis/unknown.example.com/v1/namespaces/default/things")
    assert answer.code == 404
    assert answer.body == "404 page not found\n"


async def test_an_unknown_kind_of_a_known_group_is_404_with_a_status(api: Raw) -> None:
    answer = await api.get("/apis/batch/v1/things")
    assert answer.code == 404
    assert answer.body["message"] == "the server could not find the requested resource"
    assert (answer.body["reason"], answer.body["details"]) == ("NotFound", {})


async def test_a_job_that_is_not_there_is_404(api: Raw) -> None:
    answer = await api.job("absent")
    assert answer.code == 404
    assert (answer.body["reason"], answer.body["code"]) == ("NotFound", 404)
    assert answer.body["details"] == {"name": "absent", "group": "batch", "kind": "jobs"}


async def test_a_list_in_a_namespace_that_is_not_there_is_empty(api: Raw) -> None:
    answer = await api.get("/apis/batch/v1/namespaces/absent/jobs")
    assert answer.code == 200
    assert answer.body["items"] == []


async def test_a_method_that_does_not_fit_is_405(api: Raw) -> None:
    answer = await api.call("POST", f"{api.jobs}/name", {})
    assert answer.code == 405
    assert answer.body["reason"] == "MethodNotAllowed"


@pytest.mark.parametrize("raw", [b"{", b"[]", b"nothing"])
async def test_a_body_that_is_no_object_is_400(api: Raw, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with api.session.post(api.jobs, data=raw, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["reason"] == "BadRequest"


async def test_delete_options_that_are_no_object_are_400_and_delete_nothing(api: Raw) -> None:
    await api.create_job("kept", suspend=True)
    headers = {"Content-Type": "application/json"}
    async with api.session.delete(f"{api.jobs}/kept", data=b"{", headers=headers) as response:
        assert response.status == 400
    assert "deletionTimestamp" not in (await api.job("kept")).body["metadata"]


async def test_a_patch_of_unknown_kind_is_415(api: Raw) -> None:
    await api.create_job("patched", suspend=True)
    answer = await api.call("PATCH", f"{api.jobs}/patched", {}, kind="application/json")
    assert answer.code == 415
    assert answer.body["reason"] == "UnsupportedMediaType"


async def test_patches_change_what_they_name(api: Raw) -> None:
    await api.create_job("patched", suspend=True, labels={"a": "1", "b": "2"})
    path = f"{api.jobs}/patched"
    merged = await api.call("PATCH", path, {"metadata": {"labels": {"a": None, "c": "3"}}}, kind=MERGE)
    assert merged.body["metadata"]["labels"] == {"b": "2", "c": "3"}
    operations = [{"op": "replace", "path": "/metadata/labels/b", "value": "4"}]
    listed = await api.call("PATCH", path, operations, kind="application/json-patch+json")
    assert listed.body["metadata"]["labels"] == {"b": "4", "c": "3"}
    assert int(listed.version) > int(merged.version)


async def test_a_patch_that_changes_nothing_keeps_the_version(api: Raw) -> None:
    created = await api.create_job("same", suspend=True, labels={"a": "1"})
    await api.until(lambda: _settled(api, "same"))
    before = await api.job("same")
    after = await api.call("PATCH", f"{api.jobs}/same", {"metadata": {"labels": {"a": "1"}}}, kind=MERGE)
    assert after.uid == created.uid
    assert after.version == before.version


async def _settled(api: Raw, name: str) -> bool:
    return "conditions" in await api.job_status(name)


async def test_an_update_of_an_older_version_is_409(api: Raw) -> None:
    created = await api.create_job("late", suspend=True)
    await api.call("PATCH", f"{api.jobs}/late", {"metadata": {"labels": {"x": "y"}}}, kind=MERGE)
    answer = await api.call("PUT", f"{api.jobs}/late", created.body)
    assert answer.code == 409
    assert answer.body["reason"] == "Conflict"
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on jobs.batch "late": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_status_is_changed_through_its_own_path_only(api: Raw) -> None:
    await api.create_job("status", suspend=True)
    await api.until(lambda: _settled(api, "status"))
    patch = {"status": {"conditions": None}}
    main = await api.call("PATCH", f"{api.jobs}/status", patch, kind=MERGE)
    assert main.code == 200
    assert main.body["status"]["conditions"]


async def test_new_finalizers_are_refused_on_a_job_that_is_being_deleted(api: Raw) -> None:
    await api.create_job("ending", suspend=True, metadata={"finalizers": ["example.com/hold"]})
    await api.delete_job("ending", {"propagationPolicy": "Background"})
    path = f"{api.jobs}/ending"
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    answer = await api.call("PATCH", path, more, kind=MERGE)
    assert answer.code == 422
    assert answer.body["reason"] == "Invalid"
    gone = await api.call("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE)
    assert gone.code == 200
    assert await api.is_gone(path)


@pytest.mark.parametrize("path", ["/readyz", "/livez", "/healthz"])
async def test_health_is_told(api: Raw, path: str) -> None:
    answer = await api.get(path)
    assert (answer.code, answer.body) == (200, "ok")


async def test_the_version_is_told(api: Raw) -> None:
    answer = await api.get("/version")
    major, minor = answer.body["major"], answer.body["minor"]
    assert answer.body["gitVersion"].startswith(f"v{major}.{minor}")
    assert int(minor) >= 27, "the labels that pods are found by came with 1.27"
