"""What the garbage collector does with Jobs that have an owner themselves."""

import asyncio

from tests.support.kubernetes.raw import Raw, foreground, job

CRON_JOB = "/apis/batch/v1/namespaces/{}/cronjobs"


def owned(name: str, kind: str, api_version: str, uid: str) -> dict[str, object]:
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


async def test_an_owner_of_an_unknown_kind_keeps_its_job(api: Raw) -> None:
    """JobSet is not installed: nothing can tell whether the owner is there, so nothing is collected."""
    uid = "00000000-0000-4000-8000-000000000001"
    created = await api.running_job("of-a-jobset", metadata=owned("set", "JobSet", "jobset.x-k8s.io/v1alpha2", uid))
    await asyncio.sleep(0.5)
    found = await api.job("of-a-jobset")
    assert found.uid == created.uid
    assert found.body["metadata"]["ownerReferences"][0]["kind"] == "JobSet"


async def test_an_owner_that_is_absent_takes_its_job_along(api: Raw) -> None:
    uid = "00000000-0000-4000-8000-000000000002"
    await api.create_job("orphaned", metadata=owned("nothing", "CronJob", "batch/v1", uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/orphaned"))


async def test_a_job_of_a_cron_job_is_deleted_alone(api: Raw) -> None:
    path = CRON_JOB.format(api.namespace)
    template = job("unused")["spec"]
    cron_job = {"metadata": {"name": "cron"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": template}}}
    owner = await api.create(path, cron_job)
    created = await api.running_job("of-cron", metadata=owned("cron", "CronJob", "batch/v1", owner.uid))
    await api.delete_job("of-cron", foreground(created.uid))
    await api.until(lambda: api.is_gone(f"{api.jobs}/of-cron"))
    assert (await api.get(f"{path}/cron")).code == 200
