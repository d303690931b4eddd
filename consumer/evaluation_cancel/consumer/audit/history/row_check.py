"""What the row of a cancellation must say, given an event that tells of it. Pure.

The row is kept for ever and its messages for a month, so that after that only this holds what a row says against what
was published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError

from evaluation_cancel.consumer.audit.history.strict import ArchivedEvent
from evaluation_cancel.consumer.domain.evidence import load_evidence, published_evidence
from evaluation_cancel.consumer.sql.database import Row
from evaluation_cancel.schemas.events import (
    EvaluationArtifactsCleaned,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    Evidence,
)

_CLEANED: Final = (
    "deleted_count",
    "deleted_bytes",
    "kept_count",
    "failed_count",
    "kept",
    "failed_codes",
    "aborted_uploads",
    "versions_retained",
)


def differences(row: Row, archived: ArchivedEvent) -> Iterator[str]:
    """`column is this, and that` for each column that says otherwise than the event; where that is told comes last."""
    expected: dict[str, Any] = {"team_id": archived.event.team_id} if hasattr(archived.event, "team_id") else {}
    found: dict[str, Any] = {}
    match archived.event:
        case EvaluationCancelAccepted() as event:
            expected |= _asked(event) | {"status_before": event.status_before, "requested_at": event.requested_at}
            # A command that joins may wish for a cleanup too.
            if event.cleanup_artifacts:
                expected["cleanup wished for"] = True
        case EvaluationCancelled() as event:
            expected |= _asked(event) | {"status_before": event.status_before, "requested_at": event.requested_at}
            expected |= _ended("cancelled", event.cancelled_at, event)
            expected |= {"cleanup wished for": event.cleanup_artifacts} | _named("evidence", _evidence(event.evidence))
            found |= _named("evidence", _evidence(evidence_of(row)))
        case EvaluationCancelFailed() as event:
            expected |= _asked(event) | _ended("failed", event.failed_at, event)
            expected |= {"last_error_code": event.code, "last_error_text": event.detail}
        case EvaluationArtifactsCleaned() as event:
            expected |= {"cleanup_state": event.state} | _named("cleanup", _cleaned(event.model_dump(mode="json")))
            found |= _named("cleanup", _cleaned(_object(row["cleanup_report"])))
        case _:
            return
    expected["command_id"] = archived.envelope.causationid
    found |= {"commands": 1 + row["joined"], "cleanup wished for": row["cleanup_state"] != "not_requested"}
    for name, told in expected.items():
        says = found.get(name, row.get(name))
        if says != told:
            yield _difference(name, says, told)


def _difference(name: str, says: object, told: object) -> str:
    """Of two lists only that in which they differ."""
    if not isinstance(says, list) or not isinstance(told, list):
        return f"{name} is {str(says)[:150]}, and {str(told)[:150]}"
    lacking = ", ".join(str(item) for item in told if item not in says)[:150]
    added = ", ".join(str(item) for item in says if item not in told)[:150]
    if not lacking and not added:
        return f"{name} is in another order than told"
    found = {f"{name} lacks": lacking, f"{name} adds": added}
    return " and ".join(f"{how} {items}" for how, items in found.items() if items) + ", unlike what is told"


def _named(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{what} {name}": value for name, value in values.items()}


def _asked(event: EvaluationCancelAccepted | EvaluationCancelled | EvaluationCancelFailed) -> dict[str, Any]:
    return {
        "evaluation_id": event.evaluation_id,
        "actor_kind": event.requested_by.kind,
        "actor_id": event.requested_by.id,
        "reason": event.reason,
        "accepted_at": event.accepted_at,
    }


def _ended(phase: str, at: datetime, event: EvaluationCancelled | EvaluationCancelFailed) -> dict[str, Any]:
    return {"phase": phase, "ended_at": at, "commands": event.command_count}


def evidence_of(row: Row) -> Evidence | None:
    """As it would be published; None for what is no evidence: a forger may have left anything there."""
    try:
        return published_evidence(load_evidence(row["evidence"]))
    except (ValidationError, ValueError, TypeError):
        return None


def _evidence(evidence: Evidence | None) -> dict[str, Any]:
    told = dict.fromkeys(Evidence.model_fields) if evidence is None else evidence.model_dump(mode="json")
    pods = told["pods"]
    return told | {"pods": None if pods is None else [f"{pod['name']} gone at {pod['gone_at']}" for pod in pods]}


def _cleaned(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: report.get(name) for name in _CLEANED}


def _object(text: str | None) -> Mapping[str, Any]:
    found = {} if text is None else orjson.loads(text)
    return found if isinstance(found, dict) else {}
