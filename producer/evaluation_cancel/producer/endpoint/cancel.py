"""The use case of the POST: publish the command, wait for its outcome, answer.

Once Kafka has the command, its outcome does not depend on this process or on the client's connection. The same key
publishes the same command again from any replica, and that command counts once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID, uuid5

from evaluation_cancel.producer.endpoint.answers import (
    Answer,
    Asked,
    answer,
    is_decided,
    is_ended,
    outcome_unknown,
    refused,
)
from evaluation_cancel.producer.endpoint.identity.claims import Caller
from evaluation_cancel.producer.endpoint.preferences import Preference
from evaluation_cancel.producer.endpoint.store import CommandSeen
from evaluation_cancel.producer.endpoint.waiting import Waiting
from evaluation_cancel.producer.errors import PublishRefused, PublishUnknown
from evaluation_cancel.producer.publisher import Receipt
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.identifiers import uuid7

_NAMESPACE: Final = UUID("0b6e9a52-6a0e-5c0f-9a3b-5f5d6c1f7e21")


class CommandPublisher(Protocol):
    """What is asked of evaluation_cancel.producer.publisher.Publisher."""

    async def cancel(
        self,
        evaluation_id: UUID | str,
        requested_by: RequestedBy,
        *,
        reason: str | None = None,
        cleanup_artifacts: bool = False,
        command_id: str | UUID | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Returns once Kafka has it. Raises PublishUnknown, PublishRefused, or ValueError for what cannot be sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequest:
    """One request, understood."""

    caller: Caller
    evaluation_id: UUID
    reason: str | None
    cleanup_artifacts: bool
    idempotency_key: str | None
    preference: Preference
    traceparent: str | None


class CancelEvaluations:
    """`published` is told of each command: what came of handing it to Kafka, and its seconds."""

    def __init__(
        self,
        publisher: CommandPublisher,
        waiting: Waiting,
        *,
        slow_answer: int,
        published: Callable[[str, float], None] = lambda _outcome, _seconds: None,
    ) -> None:
        self._publisher = publisher
        self._waiting = waiting
        self._slow_answer = slow_answer
        self._published = published

    async def handle(
        self, request: CancelRequest, client_gone: Callable[[], Awaitable[None]]
    ) -> tuple[Asked, Answer | None]:
        """The answer; None when the client has gone meanwhile. `client_gone` ends when it does."""
        until = time.monotonic() + request.preference.seconds
        asked = _asked(request)
        failure = await self._publish(request, asked)
        # A retry may find that its command arrived the first time, although Kafka is away now.
        if failure is not None and await self._waiting.look(asked.command_id) is None:
            return asked, failure
        waiting = asyncio.ensure_future(self._outcome(request, asked, until))
        gone = asyncio.ensure_future(client_gone())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return asked, None
            return asked, answer(asked, waiting.result(), slow_answer=self._slow_answer)
        finally:
            waiting.cancel()
            gone.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)

    async def _publish(self, request: CancelRequest, asked: Asked) -> Answer | None:
        """None when Kafka has it."""
        started, outcome = time.monotonic(), "acknowledged"
        try:
            await self._publisher.cancel(
                request.evaluation_id,
                request.caller.requested_by,
                reason=request.reason,
                cleanup_artifacts=request.cleanup_artifacts,
                command_id=asked.command_id,
                traceparent=request.traceparent,
            )
        except PublishUnknown:
            outcome = "unknown"
            return outcome_unknown(asked.idempotency_key)
        except PublishRefused:
            outcome = "refused"
            return refused()
        finally:
            self._published(outcome, time.monotonic() - started)
        return None

    async def _outcome(self, request: CancelRequest, asked: Asked, until: float) -> CommandSeen | None:
        enough = is_decided if request.preference.until_decided else is_ended

        def suffices(seen: CommandSeen) -> bool:
            return seen.meaning != asked.meaning or enough(seen)

        caller = (request.caller.issuer, request.caller.subject)
        return await self._waiting.wait(
            asked.command_id, suffices, caller=caller, seconds=max(0.0, until - time.monotonic())
        )


def command_id(issuer: str, subject: str, key: str) -> UUID:
    """The command id for a key: the same on every replica, and different for every caller with the same key."""
    # Lengths first, so that no two different triples can be spelled alike.
    return uuid5(_NAMESPACE, "".join(f"{len(part)}:{part}" for part in (issuer, subject, key)))


def _asked(request: CancelRequest) -> Asked:
    # A key is made up for who gave none, so that an answer of unknown outcome can name one to try again with.
    key = request.idempotency_key or str(uuid7())
    command = CancelEvaluation(
        evaluation_id=request.evaluation_id,
        requested_by=request.caller.requested_by,
        reason=request.reason,
        cleanup_artifacts=request.cleanup_artifacts,
    )
    return Asked(
        command_id=str(command_id(request.caller.issuer, request.caller.subject, key)),
        evaluation_id=request.evaluation_id,
        meaning=command.meaning(),
        idempotency_key=key,
        preference_applied=request.preference.applied,
    )
