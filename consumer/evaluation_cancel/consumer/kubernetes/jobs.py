"""Implements `port.py` on a Kubernetes API server: paths, bodies, and parsing of the answers.

`client.py` sends the requests; the rules on what the facts prove are in `teardown/attempt.py`. All options of a DELETE
are in its body, because the server prefers the body to the query.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import JobFinished, NodeState
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.client import METADATA_ONLY, Answer, ExpiredError, KubernetesCalls
from evaluation_cancel.consumer.kubernetes.nodes import NodeStates
from evaluation_cancel.consumer.kubernetes.pod_state import parse_pod
from evaluation_cancel.consumer.kubernetes.port import Job, Pod, of_evaluation

JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
JOB = JOBS + "/{name}"
ALL_JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/namespaces/{namespace}/pods"
POD = PODS + "/{name}"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
OWN_CONTROLLER = "kubernetes.io/job-controller"
"""`spec.managedBy` of a Job that the cluster's own controller runs; the field may also be absent."""
_PAGE = "500"
_RESTARTS = 3
_FINISHED: dict[str, JobFinished] = {"Complete": "succeeded", "Failed": "failed"}


class KubernetesJobs:
    """The Jobs and pods of one cluster. Implements `Jobs`, where the methods are documented."""

    def __init__(
        self, calls: KubernetesCalls, namespaces: Sequence[str] = (), *, label: str = EVALUATION_LABEL
    ) -> None:
        """Without `namespaces`, `labelled` reads all namespaces, which needs rights in all."""
        self.calls = calls
        self._namespaces = namespaces
        self._label = label
        self._nodes = NodeStates(calls)

    async def get(self, namespace: str, name: str) -> Job | None:
        answer = await self.calls.call("GET", JOB, names=_names(namespace, name))
        if answer.status == 404:  # noqa: PLR2004
            _must_name_the_job(answer, name)
            return None
        found = answer.json()
        if found.get("kind") != "Job":
            raise TemporaryError("not_kubernetes", f"expected a Job, received kind {found.get('kind')}")
        return parse_job(found, self._label)

    async def find(self, namespace: str, evaluation_id: UUID, seen: Collection[str] = ()) -> list[Job]:
        selector = of_evaluation(evaluation_id, seen, label=self._label)
        items = await self._list(JOBS, namespace, selector, accept="application/json")
        return [parse_job(item, self._label) for item in items]

    async def labelled(self) -> list[Job]:
        """List all Jobs with the label of an evaluation, in the chosen namespaces, without specs and status."""
        spaces = self._namespaces or ("",)
        pages = [
            await self._list(JOBS if space else ALL_JOBS, space, self._label, accept=METADATA_ONLY) for space in spaces
        ]
        return [parse_job(item, self._label) for page in pages for item in page]

    async def delete(self, namespace: str, name: str, uid: str) -> bool:
        answer = await self.calls.call(
            "DELETE",
            JOB,
            names=_names(namespace, name),
            body={
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "propagationPolicy": "Foreground",
                "preconditions": {"uid": uid},
            },
        )
        if answer.status == 404:  # noqa: PLR2004
            _must_name_the_job(answer, name)
            return False
        if answer.status == 409:  # noqa: PLR2004
            return await self._is_still_there(namespace, name, uid, answer)
        return True

    async def pods(self, namespace: str, selector: str) -> list[Pod]:
        items = await self._list(PODS, namespace, selector, accept="application/json")
        return [parse_pod(item, self._label) for item in items]

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        # 404: gone meanwhile. 409: another pod under this name, so this one is gone.
        await self.calls.call("DELETE", POD, names=_names(namespace, name), body=body)

    async def node_state(self, name: str) -> NodeState | None:
        return await self._nodes.state(name)

    async def close(self) -> None:
        await self.calls.close()

    async def _is_still_there(self, namespace: str, name: str, uid: str, conflict: Answer) -> bool:
        """A conflict is usually about the uid: then our Job is gone. Read the Job rather than the message."""
        current = await self.get(namespace, name)
        if current is None or current.uid != uid:
            return False
        raise TemporaryError("conflict", conflict.message())

    async def _list(self, path: str, namespace: str, selector: str, *, accept: str) -> list[dict[str, Any]]:
        """Read all pages of a consistent list. Starts again when its snapshot expires between two pages."""
        for _ in range(_RESTARTS):
            try:
                return await self._pages(path, namespace, selector, accept)
            except ExpiredError:
                continue
        raise TemporaryError("expired", f"the list expired before its last page {_RESTARTS} times")

    async def _pages(self, path: str, namespace: str, selector: str, accept: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        next_page = ""
        while True:
            # Without resourceVersion, or the server may answer from an old state.
            query = [("limit", _PAGE)]
            if selector:
                query.append(("labelSelector", selector))
            if next_page:
                query.append(("continue", next_page))
            answer = await self.calls.call("GET", path, names={"namespace": namespace}, query=query, accept=accept)
            page = list_page(answer)
            items.extend(page["items"] or ())
            next_page = page["metadata"].get("continue") or ""
            if not next_page:
                return items


def list_page(answer: Answer) -> dict[str, Any]:
    """Parse one page of a list. Raises `TemporaryError` for anything else: it must never count as an empty list."""
    page = answer.json()
    if (
        answer.status != 200  # noqa: PLR2004
        or not str(page.get("kind", "")).endswith("List")
        or not isinstance(page.get("items") or [], list)
        or "items" not in page
        or not isinstance(page.get("metadata"), dict)
    ):
        raise TemporaryError("not_kubernetes", f"answer {answer.status} is not a list")
    return page


def _names(namespace: str, name: str) -> dict[str, str]:
    """Check both names: an empty name would address every Job of the namespace, and dots another path."""
    if not _NAME.fullmatch(namespace) or not _NAME.fullmatch(name):
        raise TemporaryError("invalid_name", f"{namespace!r}, {name!r} cannot name a Job")
    return {"namespace": namespace, "name": name}


def _must_name_the_job(answer: Answer, name: str) -> None:
    """Raise `TemporaryError` unless the 404 is about this Job: a proxy or a missing API group answers 404 too."""
    status = answer.status_object() or {}
    details = status.get("details")
    if status.get("reason") != "NotFound" or not isinstance(details, dict) or details.get("name") != name:
        raise TemporaryError("not_kubernetes", answer.message())


def parse_job(item: dict[str, Any], label: str = EVALUATION_LABEL) -> Job:
    """Keep the few fields that matter of an object that can be a megabyte."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    requested = metadata.get("deletionTimestamp")
    evaluation_id = (metadata.get("labels") or {}).get(label)
    return Job(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        evaluation_id=evaluation_id,
        finished=next(_finished(status), None),
        owned_by=_owner(metadata),
        suspended=bool(spec.get("suspend")),
        manual_selector=bool(spec.get("manualSelector")),
        deletion_requested_at=datetime.fromisoformat(requested) if requested else None,
        finalizers=tuple(metadata.get("finalizers") or ()),
        labels_pods=_pod_label(spec, label) == evaluation_id is not None,
        managed_by=None if spec.get("managedBy") == OWN_CONTROLLER else spec.get("managedBy"),
    )


def _pod_label(spec: dict[str, Any], label: str) -> str | None:
    metadata = (spec.get("template") or {}).get("metadata") or {}
    text = (metadata.get("labels") or {}).get(label)
    return None if text is None else str(text)


def _finished(status: dict[str, Any]) -> Iterator[JobFinished]:
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in _FINISHED:
            yield _FINISHED[condition["type"]]


def _owner(metadata: dict[str, Any]) -> str | None:
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") != "CronJob":
            return f"{owner.get('kind')}/{owner.get('name')}"
    return None
