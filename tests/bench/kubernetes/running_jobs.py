"""Jobs with one running pod each, made before something is measured, and whether they are really gone after it.

A run begins when every Job says that its pod is ready: nobody is still busy with their beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from kubernetes_asyncio.client import ApiClient, BatchV1Api, CoreV1Api

from tests.support.waiting import until

_CREATED_AT_ONCE = 32
_PATIENCE = 300.0


async def run_jobs(client: ApiClient, namespace: str, bodies: Sequence[dict[str, Any]]) -> list[str]:
    """Creates these Jobs and gives their uids, in that order, when they all run."""
    jobs, gate = BatchV1Api(client), asyncio.Semaphore(_CREATED_AT_ONCE)

    async def create(body: Any) -> str:
        async with gate:
            created = await jobs.create_namespaced_job(namespace, body)
        return str(created.metadata.uid)

    uids = await asyncio.gather(*(create(body) for body in bodies))

    async def all_ready() -> bool:
        found = await _items(jobs.list_namespaced_job, namespace)
        return {each["metadata"]["uid"] for each in found if each["status"].get("ready")} >= set(uids)

    await until(all_ready, "the pods of all Jobs are ready", every=0.3, within=_PATIENCE)
    return uids


async def faults_of_jobs(client: ApiClient, namespace: str, uids: Sequence[str]) -> list[str]:
    """What is still there of Jobs that are said to have ended, in words."""
    jobs = await _items(BatchV1Api(client).list_namespaced_job, namespace)
    pods = await _items(CoreV1Api(client).list_namespaced_pod, namespace)
    there = {each["metadata"]["uid"] for each in jobs} & set(uids)
    owners = {each["metadata"]["ownerReferences"][0]["uid"] for each in pods} & set(uids)
    faults = [f"{len(there)} Jobs are said to have ended and are there"] * bool(there)
    return faults + [f"{len(owners)} Jobs are said to have ended and have pods"] * bool(owners)


async def _items(list_namespaced: Any, namespace: str) -> list[dict[str, Any]]:
    # Models of a thousand Jobs would take a second of CPU to build.
    answer = await list_namespaced(namespace, _preload_content=False)
    found: list[dict[str, Any]] = orjson.loads(await answer.read())["items"]
    return found
