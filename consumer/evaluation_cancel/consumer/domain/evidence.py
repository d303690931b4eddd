"""Evidence of a teardown as JSON in Postgres, and the part of it that is published."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import orjson
from pydantic import TypeAdapter

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.schemas.events import Actor, ContainerEnded, Evidence, PodEnded
from evaluation_cancel.schemas.fields import MAX_IDENTIFIER_BYTES

MAX_LISTED: Final = 100
_EVIDENCE: Final = TypeAdapter(TeardownEvidence)


def dump_evidence(evidence: TeardownEvidence) -> str:
    """JSON for a jsonb column."""
    return orjson.dumps(evidence).decode()


def load_evidence(stored: str | None) -> TeardownEvidence:
    """Reads what `dump_evidence` wrote; None is empty evidence."""
    return TeardownEvidence() if stored is None else _EVIDENCE.validate_json(stored)


def published_evidence(evidence: TeardownEvidence) -> Evidence:
    """The evidence for an event: at most a hundred pods that are gone, and the number of all pods."""
    pods = [_pod_ended(pod, pod.gone_at) for pod in evidence.pods if pod.gone_at is not None]
    return Evidence(
        job=_identifier(evidence.job) or "unknown",
        job_finished=evidence.job_finished,
        pods=tuple(pods[:MAX_LISTED]),
        pod_count=max(evidence.pod_count, len(evidence.pods)),
        stop_proven=evidence.stop_proven,
        doubts=evidence.doubts,
        managed_by=_identifier(evidence.managed_by) or None,
        resolved_by=None if evidence.resolved_by is None else Actor(kind="user", id=evidence.resolved_by),
        resolve_reason=evidence.resolve_reason,
    )


def _pod_ended(pod: PodGone, gone_at: datetime) -> PodEnded:
    return PodEnded(
        name=pod.name,
        gone_at=gone_at,
        node=pod.node,
        stopped=pod.stopped or (None if pod.doubt is None else False),
        doubt=pod.doubt,
        node_state=pod.node_state,
        containers=tuple(
            ContainerEnded(name=each.name, exit_code=each.exit_code, reason=_identifier(each.reason) or None)
            for each in pod.containers
        ),
    )


def _identifier(text: str | None) -> str:
    """A uid recorded by an orchestrator may be any text; an event holds a limited length of it."""
    return scrub(text or "", MAX_IDENTIFIER_BYTES // 4)
