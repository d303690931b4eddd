"""A small orchestrator as a team would write it: it registers evaluations, runs them as Jobs and reports on them.

All it needs of the cancellation service are four SQL functions and one label. The order matters: `starting` is
committed before the Job is created, so that a cancellation is never behind; refused, no Job is created. Then the
Job's uid is attached, which is allowed even while a cancellation is open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import aioboto3
import asyncpg
from kubernetes_asyncio import config
from kubernetes_asyncio.client import BatchV1Api, CoreV1Api

from deploy.local.play.places import Places
from deploy.local.stand.system import BUCKET, CLUSTER
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL

ENDS_AFTER = "stand.evaluation-cancel/ends-after"
GRACE = 30
"""Seconds that Kubernetes gives a pod to end unless its spec says otherwise."""
IMAGE = "busybox:1.37"
REQUEST = b'{"model": "gpt-neo", "suite": "robustness"}'
_ARTIFACT = b"x" * 2048
_UPLOADS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One evaluation of a team, and its Job once it has one."""

    id: UUID
    team: str
    job_uid: str | None = None

    @property
    def prefix(self) -> str:
        return f"evaluations/{self.id}/"

    @property
    def request_key(self) -> str:
        return f"{self.prefix}request.json"

    @property
    def job_name(self) -> str:
        return f"evaluation-{self.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one of the SQL functions said."""

    done: bool
    answer: str


class Orchestrator:
    """Speaks to Postgres, Kubernetes and S3 with clients of its own."""

    def __init__(
        self, *, pool: Any, jobs: BatchV1Api, pods: CoreV1Api, s3: Any, namespace: str, node: str | None
    ) -> None:
        self._pool = pool
        self._jobs = jobs
        self._pods = pods
        self._s3 = s3
        self._namespace = namespace
        self._node = node

    async def register(self, team: str) -> Evaluation:
        """Store the request file and make the evaluation known."""
        evaluation = Evaluation(id=uuid4(), team=team)
        await self._s3.put_object(Bucket=BUCKET, Key=evaluation.request_key, Body=REQUEST)
        await self._call("register", evaluation.id, team, BUCKET, evaluation.prefix, evaluation.request_key)
        return evaluation

    async def run(
        self, evaluation: Evaluation, *, pods: int = 1, ends_after: int | None = 0, grace: int = GRACE
    ) -> tuple[Evaluation, Answer]:
        """Start its Job unless that is refused.

        `ends_after` is how many seconds its pods take to end, of the `grace` that they get; None: they ignore SIGTERM.
        """
        answer = await self._call("starting", evaluation.id, CLUSTER, self._namespace, evaluation.job_name)
        if not answer.done:
            return evaluation, answer
        body: Any = job(evaluation, pods=pods, ends_after=ends_after, grace=grace, node=self._node)
        created = await self._jobs.create_namespaced_job(self._namespace, body)
        uid = str(created.metadata.uid)
        await self._call("attach_job", evaluation.id, uid)
        return replace(evaluation, job_uid=uid), await self.report(evaluation, "running")

    async def pods_run(self, evaluation: Evaluation, count: int) -> bool:
        """Whether so many of its pods have come so far."""
        selector = f"{EVALUATION_LABEL}={evaluation.id}"
        found = await self._pods.list_namespaced_pod(self._namespace, label_selector=selector)
        return sum(pod.status.phase == "Running" for pod in found.items) == count

    async def report(self, evaluation: Evaluation, status: str) -> Answer:
        """Pass on what a worker says: `running`, `succeeded` or `failed`."""
        return await self._call("report", evaluation.id, status)

    async def finish(self, evaluation: Evaluation) -> Answer:
        """Its work is done: report that, and take away the Job that has nothing more to do."""
        answer = await self.report(evaluation, "succeeded")
        await self._jobs.delete_namespaced_job(evaluation.job_name, self._namespace, propagation_policy="Foreground")
        return answer

    async def write_artifacts(self, evaluation: Evaluation, count: int) -> None:
        """What a worker would have stored by now, and one multipart upload that it has not completed."""
        room = asyncio.Semaphore(_UPLOADS_AT_ONCE)

        async def put(number: int) -> None:
            async with room:
                key = f"{evaluation.prefix}results/{number:03}.json"
                await self._s3.put_object(Bucket=BUCKET, Key=key, Body=_ARTIFACT)

        await asyncio.gather(*(put(number) for number in range(count)))
        await self._s3.create_multipart_upload(Bucket=BUCKET, Key=f"{evaluation.prefix}results/unfinished.bin")

    async def _call(self, function: str, *arguments: object) -> Answer:
        placeholders = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
        row = await self._pool.fetchrow(
            f"SELECT done, answer FROM evaluation_cancel.{function}({placeholders})", *arguments
        )
        return Answer(done=row["done"], answer=row["answer"])


def job(
    evaluation: Evaluation, *, pods: int, ends_after: int | None, grace: int = GRACE, node: str | None
) -> dict[str, Any]:
    """The Job as it is sent: the label with the evaluation's id stands on it and on its pods."""
    label = {EVALUATION_LABEL: str(evaluation.id)}
    at_term = "" if ends_after is None else f"sleep {ends_after}; exit 0"
    work = f"trap '{at_term}' TERM; while true; do sleep 86400 & wait; done # {evaluation.id}"
    container = {"name": "worker", "image": IMAGE, "command": ["sh", "-c", work]}
    pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": grace}
    if node is not None:
        pod["nodeName"] = node
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": evaluation.job_name, "labels": label},
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "backoffLimit": 0,
            "template": {
                "metadata": {
                    "labels": label,
                    "annotations": {ENDS_AFTER: str(grace if ends_after is None else ends_after)},
                },
                "spec": pod,
            },
        },
    }


@asynccontextmanager
async def orchestrator(places: Places) -> AsyncIterator[Orchestrator]:
    """One with clients of its own, closed at the end."""
    async with AsyncExitStack() as clients:
        pool = await clients.enter_async_context(asyncpg.create_pool(places.dsn, min_size=1, max_size=8))
        client = await clients.enter_async_context(
            await config.new_client_from_config(config_file=str(places.kubeconfig))
        )
        session = aioboto3.Session(places.s3_access_key, places.s3_secret_key, region_name=places.s3_region)
        s3 = await clients.enter_async_context(session.client("s3", endpoint_url=places.s3_endpoint_url))
        yield Orchestrator(
            pool=pool,
            jobs=BatchV1Api(client),
            pods=CoreV1Api(client),
            s3=s3,
            namespace=places.namespace,
            node=places.node,
        )
