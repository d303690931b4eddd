"""Compares a cancellation's row with an event about it. Pure.

Cancellations are kept for ever and messages for a month. After that month only this check compares Postgres with the
published events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError

from evaluation_cancel.consumer.audit.history.strict import ArchivedEvent
from evaluation_cancel.consumer.domain.audit_rows import CancellationRow
from evaluation_cancel.consumer.domain.evidence import load_evidence, published_evidence
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


def differences(row: CancellationRow, archived: ArchivedEvent) -> Iterator[str]:
    """Yield `column is …, and …` for each column that differs, with the row's value first and the event's second."""
    expected: dict[str, Any] = {"team_id": archived.event.team_id} if hasattr(archived.event, "team_id") else {}
    found: dict[str, Any] = {"commands": 1 + row.joined, "cleanup wished for": row.wants_cleanup}
    match archived.event:
        case EvaluationCancelAccepted() as event:
            expected |= _request(event) | {"status_before": event.status_before, "requested_at": event.requested_at}
            # Without this flag the cleanup may still be wanted, by a command that joined later.
            if event.cleanup_artifacts:
                expected["cleanup wished for"] = True
        case EvaluationCancelled() as event:
            expected |= _request(event) | {"status_before": event.status_before, "requested_at": event.requested_at}
            expected |= _end("cancelled", event.cancelled_at, event)
            expected |= {"cleanup wished for": event.cleanup_artifacts} | _named("evidence", _evidence(event.evidence))
            found |= _named("evidence", _evidence(evidence_of(row)))
        case EvaluationCancelFailed() as event:
            expected |= _request(event) | _end("failed", event.failed_at, event)
            expected |= {"last_error_code": event.code, "last_error_text": event.detail}
        case EvaluationArtifactsCleaned() as event:
            expected |= {"cleanup_state": event.state} | _named("cleanup", _cleaned(event.model_dump(mode="json")))
            found |= _named("cleanup", _cleaned(json_object(row.cleanup_report)))
        case _:
            return
    expected["command_id"] = archived.envelope.causationid
    for name, published in expected.items():
        stored = found[name] if name in found else getattr(row, name)
        if stored != published:
            yield _difference(name, stored, published)


def _difference(name: str, stored: object, published: object) -> str:
    """Describe a difference; of two lists only the items that differ."""
    if not isinstance(stored, list) or not isinstance(published, list):
        return f"{name} is {str(stored)[:150]}, and {str(published)[:150]}"
    lacking = ", ".join(str(item) for item in published if item not in stored)[:150]
    added = ", ".join(str(item) for item in stored if item not in published)[:150]
    if not lacking and not added:
        return f"{name} is in another order than published"
    found = {f"{name} lacks": lacking, f"{name} adds": added}
    return " and ".join(f"{verb} {items}" for verb, items in found.items() if items) + ", unlike the event"


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix} {name}": value for name, value in values.items()}


def _request(event: EvaluationCancelAccepted | EvaluationCancelled | EvaluationCancelFailed) -> dict[str, Any]:
    return {
        "evaluation_id": event.evaluation_id,
        "actor_kind": event.requested_by.kind,
        "actor_id": event.requested_by.id,
        "reason": event.reason,
        "accepted_at": event.accepted_at,
    }


def _end(phase: str, at: datetime, event: EvaluationCancelled | EvaluationCancelFailed) -> dict[str, Any]:
    return {"phase": phase, "ended_at": at, "commands": event.command_count}


def evidence_of(row: CancellationRow) -> Evidence | None:
    """The row's evidence as an event would publish it; None if the column does not hold evidence."""
    try:
        return published_evidence(load_evidence(row.evidence))
    except (ValidationError, ValueError, TypeError):
        return None


def _evidence(evidence: Evidence | None) -> dict[str, Any]:
    fields = dict.fromkeys(Evidence.model_fields) if evidence is None else evidence.model_dump(mode="json")
    pods = fields["pods"]
    return fields | {"pods": None if pods is None else [f"{pod['name']} gone at {pod['gone_at']}" for pod in pods]}


def _cleaned(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: report.get(name) for name in _CLEANED}


def json_object(text: str | None) -> Mapping[str, Any]:
    """The object in a JSON column; empty if the column is NULL or holds no object."""
    found = {} if text is None else orjson.loads(text)
    return found if isinstance(found, dict) else {}
