"""CancelEvaluation, the only command. It can be rejected.

The actor is a claim that the consumer checks. `wire/codec.py` encodes it for Kafka.
"""

import hashlib
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import Field

from evaluation_cancel.schemas.fields import MAX_TEAMS, Identifier, Message, Text


class RequestedBy(Message):
    """Who asks, and the teams they act for."""

    kind: Literal["user", "service"]
    id: Identifier
    team_ids: Annotated[tuple[Identifier, ...], Field(max_length=MAX_TEAMS)] = ()


class CancelEvaluation(Message):
    """Stop this evaluation, whatever it is doing."""

    evaluation_id: UUID
    requested_by: RequestedBy
    reason: Text | None = None
    cleanup_artifacts: Annotated[bool, Field(strict=True)] = False

    def meaning(self) -> bytes:
        """Two commands of one id mean the same if this agrees. Teams are left out: a token renewed between
        two tries may list them otherwise.
        """
        canonical = (
            str(self.evaluation_id),
            self.requested_by.kind,
            self.requested_by.id,
            self.reason,
            self.cleanup_artifacts,
        )
        return hashlib.sha256(orjson.dumps(canonical)).digest()
