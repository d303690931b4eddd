"""Evidence of a teardown on its way through Postgres, and the part of it that is told to others."""

from __future__ import annotations

from typing import Final

import orjson
from pydantic import TypeAdapter

from evaluation_cancel.consumer.domain.cancellations import TeardownEvidence
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.schemas.events import Actor, Evidence, PodEnded
from evaluation_cancel.schemas.fields import MAX_IDENTIFIER_BYTES

MAX_LISTED: Final = 100
_EVIDENCE: Final = TypeAdapter(TeardownEvidence)


def dump_evidence(evidence: TeardownEvidence) -> str:
    """As it is stored, in a jsonb column."""
    return orjson.dumps(evidence).decode()


def load_evidence(stored: str | None) -> TeardownEvidence:
    """Evidence as it was stored; a row that has none yet has seen nothing."""
    return TeardownEvidence() if stored is None else _EVIDENCE.validate_json(stored)


def published_evidence(evidence: TeardownEvidence) -> Evidence:
    """At most a hundred pods, with when each was seen gone, and how many there were."""
    pods = [PodEnded(name=p.name, gone_at=p.gone_at) for p in evidence.pods if p.gone_at is not None]
    return Evidence(
        job=_identifier(evidence.job) or "unknown",
        job_finished=evidence.job_finished,
        pods=tuple(pods[:MAX_LISTED]),
        pod_count=max(evidence.pod_count, len(evidence.pods)),
        resolved_by=None if evidence.resolved_by is None else Actor(kind="user", id=evidence.resolved_by),
        resolve_reason=evidence.resolve_reason,
    )


def _identifier(text: str | None) -> str:
    """An orchestrator's own word for a Job may be anything; an event holds so much of it at most."""
    return scrub(text or "", MAX_IDENTIFIER_BYTES // 4)
