"""The API server's own rate of ending Jobs: a client that asks for all deletions and watches until nothing is left.

It records nothing, looks at nothing twice and repeats nothing, so that it is the cluster alone that is measured. Its
calls go through the consumer's client, with the same body, as many at once.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence

import aiohttp
import orjson

from evaluation_cancel.consumer.kubernetes.client import METADATA_ONLY, WATCH_METADATA_ONLY, KubernetesCalls
from evaluation_cancel.consumer.kubernetes.jobs import KubernetesJobs, list_page

CALLS_IN_FLIGHT = 32
"""As in the consumer's setting of that name."""
LIMIT = 600.0
_JOBS = "/apis/batch/v1/namespaces/{}/jobs"
_PODS = "/api/v1/namespaces/{}/pods"
_COUNTED = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Requests = Counter[str]
"""How many, by verb and resource."""


async def end_all(jobs: KubernetesJobs, namespace: str, made: Sequence[tuple[str, str]]) -> None:
    """Deletes these Jobs, given by name and uid, and returns when the namespace has neither Jobs nor pods."""
    gate = asyncio.Semaphore(CALLS_IN_FLIGHT)

    async def delete(name: str, uid: str) -> None:
        async with gate:
            await jobs.delete(namespace, name, uid)

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        for path in (_JOBS, _PODS):
            group.create_task(_until_none(jobs.calls, path.format(namespace)))
        for name, uid in made:
            group.create_task(delete(name, uid))


async def _until_none(calls: KubernetesCalls, path: str) -> None:
    """One list and one watch; another of each if the server ends that before its time, as it may."""
    patience = aiohttp.ClientTimeout(total=LIMIT)
    while True:
        page = list_page(await calls.call("GET", path, accept=METADATA_ONLY))
        left = {item["metadata"]["uid"] for item in page["items"] or ()}
        query = [
            ("watch", "true"),
            ("resourceVersion", page["metadata"]["resourceVersion"]),
            ("timeoutSeconds", str(int(LIMIT))),
        ]
        if not left:
            return
        async with await calls.open("GET", path, query=query, accept=WATCH_METADATA_ONLY, timeout=patience) as stream:
            while left and (line := await stream.content.readline()):
                event = orjson.loads(line)
                if event["type"] == "DELETED":
                    left.discard(event["object"]["metadata"]["uid"])


async def requests(jobs: KubernetesJobs) -> Requests:
    """What the API server has counted about Jobs and pods, whoever sent it; nothing from one that does not count."""
    answer = await jobs.calls.call("GET", "/metrics", accept="text/plain")
    counted: Requests = Counter()
    for labels, value in _COUNTED.findall(answer.body.decode()):
        named = dict(_LABEL.findall(labels))
        if named["resource"] in {"jobs", "pods"}:
            counted[" ".join(filter(None, (named["verb"], named["resource"], named["subresource"])))] += int(value)
    return counted
