"""Builds the answer to a command, with its status code, from the recorded state of the command. Pure.

Invariant: 200 means that `cancelled` is recorded, unless a setting asks for 200 with `cancelling`. A caller without
access to an evaluation gets the same answer as for one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final
from uuid import UUID

from evaluation_cancel.producer.endpoint.store import CommandSeen

RETRY_SECONDS: Final = 5
CANCELLATION_FAILED: Final = (
    "The evaluation could not be cancelled, and it goes on. A request with a new Idempotency-Key tries anew."
)
OUTCOME_UNKNOWN: Final = (
    "Kafka did not acknowledge the command in time: it is not known whether it was published. "
    "Repeat the request with this Idempotency-Key to find out; it counts once."
)
NOT_PUBLISHED: Final = "The command could not be published: this request did nothing. Repeat it later."
NO_KEYS: Final = (
    "It cannot be told at the moment whether the token is good. Nothing was done; repeat the request later."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, JSON body and headers."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The command that was published, and how its sender can come back to it."""

    command_id: str
    evaluation_id: UUID
    meaning: bytes
    idempotency_key: str
    preference_applied: str | None = None

    @property
    def location(self) -> str:
        return f"/v1/cancellations/{self.command_id}"


def is_decided(seen: CommandSeen) -> bool:
    return seen.decision is not None


def is_ended(seen: CommandSeen) -> bool:
    """Nothing further will become of it."""
    return seen.decision == "rejected" or seen.phase in ("cancelled", "failed")


def answer(asked: Asked, seen: CommandSeen | None, *, slow_answer: int = 202) -> Answer:
    """The answer to the POST, from what is known when its wait is over."""
    if seen is not None and seen.meaning != asked.meaning:
        return key_reused()
    if seen is None or seen.decision is None:
        return _submitted(asked)
    if seen.decision == "rejected":
        return _rejected(seen)
    if seen.phase == "cancelled":
        body = {"status": "cancelled", "evaluation_id": str(asked.evaluation_id)}
        if seen.stop_proven is not None:
            body["stop"] = "proven" if seen.stop_proven else "presumed"
        return Answer(status=200, body=body, headers=_applied(asked))
    if seen.phase == "failed":
        body = {"detail": CANCELLATION_FAILED, "code": seen.last_error_code or "failed"}
        return Answer(status=500, body=body, headers={"Location": asked.location})
    return _cancelling(asked, slow_answer)


def not_found() -> Answer:
    return Answer(status=404, body={"detail": "Evaluation not found"})


def key_reused() -> Answer:
    problem = {
        "loc": ["header", "Idempotency-Key"],
        "msg": "This key was used for another request; a new request needs a new key",
        "type": "idempotency_key_reused",
    }
    return Answer(status=422, body={"detail": [problem]})


def refused() -> Answer:
    return unavailable({"detail": NOT_PUBLISHED, "code": "publish_refused"})


def outcome_unknown(idempotency_key: str) -> Answer:
    body = {"detail": OUTCOME_UNKNOWN, "code": "publish_unknown", "idempotency_key": idempotency_key}
    return unavailable(body)


def unavailable(body: Mapping[str, Any]) -> Answer:
    return Answer(status=503, body=body, headers={"Retry-After": str(RETRY_SECONDS)})


def _cancelling(asked: Asked, slow_answer: int) -> Answer:
    body = {"status": "cancelling", "evaluation_id": str(asked.evaluation_id)}
    if slow_answer == 202:  # noqa: PLR2004
        body |= {"command_id": asked.command_id, "idempotency_key": asked.idempotency_key}
    return Answer(status=slow_answer, body=body, headers=_come_back(asked))


def _submitted(asked: Asked) -> Answer:
    body = {
        "status": "submitted",
        "evaluation_id": str(asked.evaluation_id),
        "command_id": asked.command_id,
        "idempotency_key": asked.idempotency_key,
    }
    return Answer(status=202, body=body, headers=_come_back(asked))


def _rejected(seen: CommandSeen) -> Answer:
    code = seen.code or "rejected"
    if code in ("not_found", "forbidden"):
        return not_found()
    body: dict[str, Any] = {"detail": _why(code, seen.status_seen), "code": code}
    if seen.status_seen is not None and code != "unknown_status":
        body["status"] = seen.status_seen
    if seen.ended_seen is not None:
        body["ended_at"] = seen.ended_seen.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if seen.cancellation_id is not None:
        body["cancellation_id"] = str(seen.cancellation_id)
    return Answer(status=400, body=body)


def _why(code: str, status: str | None) -> str:
    if code == "already_cancelled":
        return "The evaluation is already cancelled"
    if code == "unknown_status":
        return "The evaluation has a status that the cancelling service was not told the meaning of"
    if code == "already_completed":
        return f"The evaluation is already completed: it has {status}" if status else "The evaluation is completed"
    return f"The evaluation cannot be cancelled: {code.replace('_', ' ')}"


def _come_back(asked: Asked) -> dict[str, str]:
    return {"Location": asked.location, "Retry-After": str(RETRY_SECONDS), **_applied(asked)}


def _applied(asked: Asked) -> dict[str, str]:
    return {} if asked.preference_applied is None else {"Preference-Applied": asked.preference_applied}
