"""Evaluations as the SQL functions return them: under lock, their cancellations, their Job and their artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

EVALUATION_LABEL = "evaluations.vijil.ai/evaluation-id"
"""Label of every Job of an evaluation and of its pod template. The value is the evaluation's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedEvaluation:
    """An evaluation whose row this transaction has locked; where its Job is, as far as the orchestrator recorded it."""

    id: UUID
    team_id: str
    status: str
    """One of the six, or `unknown`."""
    word: str | None
    """The word of the table that the status was made of."""
    cluster: str | None
    ended_at: datetime | None
    job_namespace: str | None
    job_name: str | None
    job_uid: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """A cancellation of an evaluation: the open one, or the one that ended the evaluation."""

    evaluation_id: UUID
    cancellation_id: UUID
    open: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLocation:
    """Where the Job of an evaluation is, as far as the orchestrator recorded it."""

    evaluation_id: UUID
    job_namespace: str | None
    job_name: str | None
    job_uid: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ArtifactPlace:
    """Where the artifacts of an evaluation are, and the key of its request file."""

    evaluation_id: UUID
    bucket: str | None
    prefix: str | None
    request_key: str | None
