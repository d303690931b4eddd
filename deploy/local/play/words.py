"""What an event says, in words for the screen."""

from collections.abc import Callable
from typing import Any

from evaluation_cancel.schemas.events import (
    EvaluationArtifactsCleaned,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
    Evidence,
)
from evaluation_cancel.schemas.wire.codec import RawRecord


def in_words(event: Event) -> str:
    """The type of the event, and the part of its data that matters to this story."""
    said: dict[type, Callable[[Any], str]] = {
        EvaluationCancelAccepted: _accepted,
        EvaluationCancelled: _cancelled,
        EvaluationCancelRejected: _rejected,
        EvaluationCancelFailed: lambda e: f"{e.code}: {e.detail}",
        EvaluationArtifactsCleaned: _cleaned,
    }
    return f"{type(event).__name__}: {said[type(event)](event)}"


def dead_letter_in_words(record: RawRecord) -> str:
    said = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    place = f"partition {said.get('dlq_partition')}, offset {said.get('dlq_offset')}"
    return f"{said.get('dlq_code')}, from {place}; bytes as they were"


def _accepted(event: EvaluationCancelAccepted) -> str:
    return f"it was {event.status_before}, it will end as cancelled"


def _cancelled(event: EvaluationCancelled) -> str:
    shared = f", for {event.command_count} commands" if event.command_count > 1 else ""
    return evidence_in_words(event.evidence) + shared


def evidence_in_words(evidence: Evidence) -> str:
    if evidence.job in {"not created", "never seen"}:
        return f"its Job was {evidence.job}"
    return f"Job {evidence.job[:8]}… and {evidence.pod_count} pod{'' if evidence.pod_count == 1 else 's'} gone"


def _rejected(event: EvaluationCancelRejected) -> str:
    when = f", {event.status} {event.ended_at:%H:%M:%S}" if event.ended_at else ""
    return f"{event.code}{when}"


def _cleaned(event: EvaluationArtifactsCleaned) -> str:
    uploads = f" and {event.aborted_uploads} upload" if event.aborted_uploads else ""
    left = "the request file kept" if event.state == "done" else f"{event.kept_count + event.failed_count} left"
    return f"{event.deleted_count} objects{uploads} gone, {left}"
