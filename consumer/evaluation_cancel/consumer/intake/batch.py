"""Plans what one transaction writes, from commands and their evaluations as seen under lock. Pure.

Keeps the order of the commands: an accepted one raises the fence for those behind it in the same batch. The rules for
a single command are in `domain/decisions.py`; `decide.py` reads and writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from evaluation_cancel.consumer.domain.commands import CommandKey, InboxRow, KnownCommand, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import Accepted, Asked, EvaluationSeen, Joined, decide_command
from evaluation_cancel.consumer.domain.events import OutcomeEvents, events_of_command, id_reused
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.domain.rows import EventReference, JoinedCommands, Opening
from evaluation_cancel.schemas.identifiers import uuid7

LOCKED: Final = EvaluationSeen(team_id="", status="locked")
"""Stands for an evaluation whose row another session has locked: its commands stay undecided for now."""


class DecisionBatch:
    """Everything that one transaction writes. `now` is the database's time."""

    def __init__(self, events: OutcomeEvents, now: datetime) -> None:
        self._events = events
        self.now = now
        self.inbox_rows: list[InboxRow] = []
        """Commands with their decisions."""
        self.openings: list[Opening] = []
        """Cancellations to open."""
        self.joined: dict[UUID, JoinedCommands] = {}
        """Commands that join an open cancellation, by its id."""
        self.messages: list[Message] = []
        """New events and dead letters."""
        self.republished: list[EventReference] = []
        """Events to publish again, because a duplicate command came."""
        self.counts: dict[str, int] = {}
        """How many commands had each decision, rejection code or other result."""
        self.of_unknown_status: set[UUID] = set()
        """Evaluations of commands that were rejected since their status has no meaning here."""

    def new_commands(
        self, batch: Iterable[ReceivedCommand], known: Mapping[CommandKey, KnownCommand]
    ) -> list[ReceivedCommand]:
        """The commands whose key is new. Plans the answers to the others: duplicates, and ids used for two commands."""
        new: dict[CommandKey, ReceivedCommand] = {}
        for command in batch:
            recorded = known.get(command.key)
            if recorded is not None:
                self._seen_before(command, recorded)
            elif command.key in new:
                self._twice_in_batch(command, new[command.key])
            else:
                new[command.key] = command
        return list(new.values())

    def plan(self, batch: Iterable[ReceivedCommand], seen: dict[UUID, EvaluationSeen]) -> None:
        """Decides each command. Updates `seen` with each fence it raises, so that later commands see it."""
        for command in batch:
            evaluation = seen.get(command.evaluation_id)
            if evaluation is LOCKED:
                self._count("undecided")
                self.inbox_rows.append(InboxRow(command=command))
            else:
                fenced = self._plan_one(command, evaluation)
                if fenced is not None:
                    seen[command.evaluation_id] = fenced

    def _plan_one(self, command: ReceivedCommand, seen: EvaluationSeen | None) -> EvaluationSeen | None:
        """Returns the evaluation with its new fence if the command raises one, else None."""
        asked = Asked(
            team_ids=frozenset(command.team_ids), every_team=command.every_team, expires_at=command.expires_at
        )
        decision = decide_command(asked, seen, self.now)
        if isinstance(decision, Accepted) and seen is not None:
            cancellation = uuid7()
            self._record(command, seen, "accepted", None, cancellation)
            self.openings.append(_opening(command, seen, cancellation))
            self.messages.append(self._events.accepted(command, seen, cancellation, self.now))
            return replace(seen, open_cancellation=cancellation)
        if isinstance(decision, Joined):
            self._record(command, seen, "joined", None, decision.cancellation_id)
            count, cleanup = self.joined.get(decision.cancellation_id, (0, False))
            joined = JoinedCommands(count + 1, cleanup or command.cleanup_artifacts)
            self.joined[decision.cancellation_id] = joined
        elif not isinstance(decision, Accepted):
            self._record(command, seen, "rejected", decision.code, decision.cancellation_id)
            if decision.code == "unknown_status":
                self.of_unknown_status.add(command.evaluation_id)
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
        self.inbox_rows.append(
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

    def _seen_before(self, command: ReceivedCommand, known: KnownCommand) -> None:
        if known.fingerprint != command.fingerprint:
            self._id_reused(command)
        elif known.position == command.position:
            self._count("redelivered")  # Kafka missed the commit of the offset; all events are in the outbox
        else:
            self._count("duplicate")
            events = events_of_command(known.opening_source, known.opening_id)
            self.republished += [EventReference(command.evaluation_id, event) for event in events]

    def _twice_in_batch(self, command: ReceivedCommand, first: ReceivedCommand) -> None:
        if first.fingerprint == command.fingerprint:
            self._count("duplicate")  # the first one's events will be published anyway
        else:
            self._id_reused(command)

    def _id_reused(self, command: ReceivedCommand) -> None:
        self._count("id_reused")
        self.messages += id_reused(self._events, command)

    def _count(self, result: str) -> None:
        self.counts[result] = self.counts.get(result, 0) + 1


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
