"""Builds the status of a cancellation for pages and returning clients, from rows of `store.py`. Pure.

The store returns only rows that the caller may see.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from evaluation_cancel.producer.endpoint.store import Row

MAX_PODS: Final = 100

Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class AskedBy(Shown):
    kind: str
    id: str


class PodSeen(Shown):
    name: str
    first_seen_at: Moment
    gone_at: Moment | None
    node: str | None = None
    stopped: bool | None = None
    """All its containers were seen terminated, or it was on no node."""


class EvidenceSoFar(Shown):
    """What was seen of the Kubernetes Job."""

    job: str | None = None
    """Its uid, `never seen` or `not created`; null while it was not looked for."""
    job_finished: str | None = None
    """How it had ended by itself before it was deleted, if it had."""
    pods: tuple[PodSeen, ...] = ()
    pod_count: int = 0
    stop_proven: bool | None = None
    """Of a cancelled one: true if no process of it can run, false if that is presumed; null before."""
    doubts: tuple[str, ...] = ()
    """Why it is presumed."""


class Cancellation(Shown):
    """A cancellation as it stands."""

    evaluation_id: UUID
    cancellation_id: UUID | None = None
    status: Literal["submitted", "cancelling", "cancelled", "failed", "rejected"]
    phase: str | None = None
    """accepted, stopping, cancelled or failed."""
    requested_by: AskedBy | None = None
    reason: str | None = None
    attempts: int = 0
    """Looks at the Job so far."""
    last_error_code: str | None = None
    last_error_at: Moment | None = None
    requested_at: Moment | None = None
    accepted_at: Moment | None = None
    ended_at: Moment | None = None
    evidence: EvidenceSoFar | None = None
    cleanup: str | None = None
    """Of the artifacts: not_requested, pending, done or partial."""
    cleanup_error_code: str | None = None


class CommandStatus(Cancellation):
    """A command and the cancellation that it opened or joined."""

    command_id: UUID
    decision: str | None = None
    """accepted, joined or rejected; null while it is not decided."""
    code: str | None = None
    """Why it was rejected."""
    received_at: Moment
    decided_at: Moment | None = None


def command_status(row: Row) -> CommandStatus:
    """Of a command; one that is refused has no cancellation."""
    code = row["code"]
    if code == "forbidden":
        code = "not_found"  # the same to see as an evaluation that does not exist
    own = {
        "command_id": row["command_id"],
        "decision": row["decision"],
        "code": code,
        "received_at": row["received_at"],
        "decided_at": row["decided_at"],
    }
    if row["phase"] is not None:
        return CommandStatus(**_cancellation(row), **own)
    return CommandStatus(
        evaluation_id=row["evaluation_id"],
        status="submitted" if row["decision"] is None else "rejected",
        requested_by=AskedBy(kind=row["asker_kind"], id=row["asker_id"]),
        reason=row["asked_reason"],
        requested_at=row["asked_at"],
        **own,
    )


def cancellation_status(row: Row) -> Cancellation:
    """Of the cancellation itself, whichever command opened it."""
    return Cancellation(**_cancellation(row))


def _cancellation(row: Row) -> dict[str, Any]:
    phase = row["phase"]
    return {
        "evaluation_id": row["evaluation_id"],
        "cancellation_id": row["cancellation_id"],
        "status": phase if phase in ("cancelled", "failed") else "cancelling",
        "phase": phase,
        "requested_by": AskedBy(kind=row["actor_kind"], id=row["actor_id"]),
        "reason": row["reason"],
        "attempts": row["attempts"],
        "last_error_code": row["last_error_code"],
        "last_error_at": row["last_error_at"],
        "requested_at": row["requested_at"],
        "accepted_at": row["accepted_at"],
        "ended_at": row["ended_at"],
        "evidence": _evidence(row["evidence"]),
        "cleanup": row["cleanup_state"],
        "cleanup_error_code": row["cleanup_error_code"],
    }


def _evidence(stored: str | None) -> EvidenceSoFar | None:
    if stored is None:
        return None
    seen = orjson.loads(stored)
    pods = seen.get("pods") or []
    return EvidenceSoFar(
        job=seen.get("job"),
        job_finished=seen.get("job_finished"),
        pods=tuple(PodSeen(**{name: pod.get(name) for name in PodSeen.model_fields}) for pod in pods[:MAX_PODS]),
        pod_count=max(seen.get("pod_count") or 0, len(pods)),
        stop_proven=seen.get("stop_proven"),
        doubts=tuple(seen.get("doubts") or ()),
    )
