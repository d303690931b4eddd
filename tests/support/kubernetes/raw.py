"""A plain HTTP client of one Kubernetes namespace. It returns status codes and bodies unchanged."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from deploy.local.kubernetes.cluster import NODE, Cluster

BEHAVIOUR = "stand.evaluation-cancel/pod"
ENDS_AFTER = "stand.evaluation-cancel/ends-after"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JSON = "application/json"
DEADLINE = 60.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    code: int
    body: Any
    headers: Any

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.body["items"]]


@dataclass(kw_only=True, slots=True, eq=False)
class Watch:
    """The lines of one open watch."""

    lines: AsyncIterator[bytes]

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            return json.loads(await anext(self.lines))

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """The events up to and including the first of this kind."""
        seen = [await self.next()]
        while seen[-1]["type"] != kind:
            seen.append(await self.next())
        return seen

    async def rest(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(DEADLINE):
            return [json.loads(line) async for line in self.lines]


@asynccontextmanager
async def session_of(cluster: Cluster, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client session with the administrator's token or another one."""
    trust = True if cluster.ca_path is None else ssl.create_default_context(cafile=str(cluster.ca_path))
    headers = {"Authorization": f"Bearer {token or cluster.token}"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=64)
    patience = aiohttp.ClientTimeout(total=100)
    async with aiohttp.ClientSession(cluster.url, headers=headers, connector=connector, timeout=patience) as session:
        yield session


class Raw:
    """Requests to one namespace, through a session of `session_of`."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self.session = session
        self.namespace = namespace
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    async def call(self, method: str, path: str, body: Any = None, *, kind: str = JSON, **extra: Any) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind, **extra.pop("headers", {})} if body is not None else extra.pop("headers", {})
        async with self.session.request(method, path, data=data, headers=headers, **extra) as response:
            raw = await response.read()
            parsed = json.loads(raw) if response.content_type == JSON else raw.decode()
            return Answer(code=response.status, body=parsed, headers=response.headers)

    async def get(self, path: str, **params: str) -> Answer:
        return await self.call("GET", path, params=params)

    async def create(self, path: str, body: Any) -> Answer:
        answer = await self.call("POST", path, body)
        assert answer.code == 201, answer
        return answer

    async def create_job(self, name: str, **settings: Any) -> Answer:
        return await self.create(self.jobs, job(name, **settings))

    async def running_job(self, name: str, *, pods: int = 1, **settings: Any) -> Answer:
        """Create a Job and wait until all its pods run."""
        created = await self.create_job(name, parallelism=pods, **settings)
        await self.until(lambda: self.count_pods(created.uid, "Running"), pods)
        return created

    async def delete_job(self, name: str, body: Any = None, **params: str) -> Answer:
        return await self.call("DELETE", f"{self.jobs}/{name}", body, params=params)

    async def job(self, name: str) -> Answer:
        return await self.get(f"{self.jobs}/{name}")

    async def pods_of(self, uid: str) -> list[Any]:
        answer = await self.get(self.pods, labelSelector=f"{CONTROLLER_UID}={uid}")
        assert answer.code == 200, answer
        return list(answer.body["items"])

    async def count_pods(self, uid: str, phase: str | None = None) -> int:
        return sum(phase in (None, pod["status"]["phase"]) for pod in await self.pods_of(uid))

    async def job_status(self, name: str) -> Any:
        return (await self.job(name)).body["status"]

    async def is_gone(self, path: str) -> bool:
        return (await self.get(path)).code == 404

    async def until(self, look: Callable[[], Awaitable[T]], wanted: T | None = None) -> T:
        """Repeat `look` until it returns `wanted`, or any true value without `wanted`."""
        end = time.monotonic() + DEADLINE
        while True:
            found = await look()
            if found == wanted if wanted is not None else found:
                return found
            assert time.monotonic() < end, f"still {found!r} after {DEADLINE:g} s"
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def watch(self, path: str, **params: str) -> AsyncIterator[Watch]:
        query = {"watch": "true", "timeoutSeconds": "60", **params}
        async with self.session.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            yield Watch(lines=response.content.__aiter__())


def job(
    name: str,
    *,
    behaviour: str = "runs",
    ends_after: str | None = None,
    labels: dict[str, str] | None = None,
    pod_labels: dict[str, str] | None = None,
    node: str | None = NODE,
    metadata: dict[str, Any] | None = None,
    parallelism: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """The body of a Job with one container. `behaviour` is how the simulated kubelet treats its pods."""
    annotations = {} if ends_after is None else {ENDS_AFTER: ends_after}
    pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    if node is not None:
        pod["nodeName"] = node
    template = {"metadata": {"labels": {BEHAVIOUR: behaviour, **(pod_labels or {})}, "annotations": annotations}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels or {}, **(metadata or {})},
        "spec": {"parallelism": parallelism, "completions": parallelism, "template": {**template, "spec": pod}, **spec},
    }


def foreground(uid: str) -> dict[str, Any]:
    """The body of the service's DELETE of a Job."""
    return {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
