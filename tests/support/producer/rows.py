"""Inbox rows as the endpoint reads them, and requests, with usual values."""

from typing import Any
from uuid import UUID

from evaluation_cancel.producer.endpoint.answers import Asked
from evaluation_cancel.producer.endpoint.store import CommandSeen

EVALUATION = UUID("11111111-2222-4333-8444-555555555555")
CANCELLATION = UUID("99999999-2222-4333-8444-555555555555")
COMMAND = "33333333-2222-5333-8444-555555555555"


def seen(**changes: Any) -> CommandSeen:
    usual: dict[str, Any] = {
        "id": COMMAND,
        "evaluation_id": EVALUATION,
        "meaning": b"meaning",
        "decision": "accepted",
        "code": None,
        "status_seen": "running",
        "ended_seen": None,
        "cancellation_id": CANCELLATION,
        "phase": "accepted",
        "last_error_code": None,
    }
    return CommandSeen(**{**usual, **changes})


def asked(**changes: Any) -> Asked:
    usual: dict[str, Any] = {
        "command_id": COMMAND,
        "evaluation_id": EVALUATION,
        "meaning": b"meaning",
        "idempotency_key": "key-1",
    }
    return Asked(**{**usual, **changes})
