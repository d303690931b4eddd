"""Turns commands and what was seen of their evaluations into everything that is to be written; pure.

Keeps the order of the commands: one that is accepted raises the fence for those behind it in the same batch.
The rules on a single command are in `domain/decisions.py`; reading and writing is `decide.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import Opening
from evaluation_cancel.consumer.domain.commands import InboxRow, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import Accepted, Asked, EvaluationSeen, Joined, decide
from evaluation_cancel.consumer.domain.events import OutcomeEvents, events_of_command, id_reused
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.schemas.identifiers import uuid7

LOCKED: Final = EvaluationSeen(team_id="", status="locked")
"""Stands for an evaluation that exists but is held by another session: its commands stay undecided for now."""


class DecisionBatch:
    """Collects what one transaction writes. `now` is the database's time."""

    def __init__(self, events: OutcomeEvents, now: datetime) -> None:
        self._events = events
        self.now = now
        self.rows: list[InboxRow] = []
        self.openings: list[Opening] = []
        self.joined: dict[UUID, tuple[int, bool]] = {}
        self.messages: list[Message] = []
        self.again: list[tuple[UUID, UUID]] = []
        """Evaluations and ids of events that a duplicate command asks to be published once more."""
        self.counts: dict[str, int] = {}

    def first_seen(
        self, batch: Iterable[ReceivedCommand], known: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> list[ReceivedCommand]:
        """The commands that are new; the others are answered here, as duplicates or as misuse of an id."""
        new: dict[tuple[str, str], ReceivedCommand] = {}
        for command in batch:
            recorded = known.get(command.key)
            if recorded is not None:
                self._seen_before(command, recorded)
            elif command.key in new:
                self._twice_at_once(command, new[command.key])
            else:
                new[command.key] = command
        return list(new.values())

    def decide(self, batch: Iterable[ReceivedCommand], seen: dict[UUID, EvaluationSeen]) -> None:
        """Decides each command on what was seen under the lock, the ones before it in the batch included."""
        for command in batch:
            evaluation = seen.get(command.evaluation_id)
            if evaluation is LOCKED:
                self._count("undecided")
                self.rows.append(InboxRow(command=command))
            else:
                seen_now = self._decide_one(command, evaluation)
                if seen_now is not None:
                    seen[command.evaluation_id] = seen_now

    def _decide_one(self, command: ReceivedCommand, seen: EvaluationSeen | None) -> EvaluationSeen | None:
        asked = Asked(
            team_ids=frozenset(command.team_ids), every_team=command.every_team, expires_at=command.expires_at
        )
        decision = decide(asked, seen, self.now)
        if isinstance(decision, Accepted) and seen is not None:
            cancellation = uuid7()
            self._record(command, seen, "accepted", None, cancellation)
            self.openings.append(_opening(command, seen, cancellation))
            self.messages.append(self._events.accepted(command, seen, cancellation, self.now))
            return replace(seen, open_cancellation=cancellation)
        if isinstance(decision, Joined):
            self._record(command, seen, "joined", None, decision.cancellation_id)
            count, cleanup = self.joined.get(decision.cancellation_id, (0, False))
            self.joined[decision.cancellation_id] = (count + 1, cleanup or command.cleanup_artifacts)
        elif not isinstance(decision, Accepted):
            self._record(command, seen, "rejected", decision.code, decision.cancellation_id)
            self.messages.append(self._events.rejected(command, decision, self.now))
        return None

    def _record(
        self,
        command: ReceivedCommand,
        seen: EvaluationSeen | None,
        decision: str,
        code: str | None,
        cancellation: UUID | None,
    ) -> None:
        self._count(code or decision)
        self.rows.append(
            InboxRow(
                command=command,
                decision=decision,
                code=code,
                team_seen=seen.team_id if seen else None,
                status_seen=seen.status if seen else None,
                ended_seen=seen.ended_at if seen else None,
                fence_seen=(seen.open_cancellation or seen.ended_by) if seen else None,
                cancellation_id=cancellation,
            )
        )

    def _seen_before(self, command: ReceivedCommand, recorded: Mapping[str, Any]) -> None:
        if recorded["meaning"] != command.meaning:
            self._id_reused(command)
        elif (recorded["topic"], recorded["partition"], recorded["offset"]) == command.position:
            self._count("redelivered")  # by Kafka, after a commit that it did not learn of: the outbox has it all
        else:
            self._count("duplicate")
            events = events_of_command(recorded["opening_source"], recorded["opening_id"])
            self.again += [(command.evaluation_id, event) for event in events]

    def _twice_at_once(self, command: ReceivedCommand, first: ReceivedCommand) -> None:
        if first.meaning == command.meaning:
            self._count("duplicate")  # the first one's events are on their way anyway
        else:
            self._id_reused(command)

    def _id_reused(self, command: ReceivedCommand) -> None:
        self._count("id_reused")
        self.messages += id_reused(self._events, command)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def _opening(command: ReceivedCommand, seen: EvaluationSeen, cancellation: UUID) -> Opening:
    return Opening(
        id=cancellation,
        evaluation_id=command.evaluation_id,
        team_id=seen.team_id,
        command_source=command.source,
        command_id=command.id,
        actor_kind=command.actor_kind,
        actor_id=command.actor_id,
        reason=command.reason,
        status_before=seen.status,
        cluster=seen.cluster,
        requested_at=command.requested_at,
        traceparent=command.traceparent,
        correlation_id=command.correlation_id,
        cleanup=command.cleanup_artifacts,
    )
