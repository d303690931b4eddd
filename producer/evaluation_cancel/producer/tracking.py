"""Finds the outcome of each command among the events. Pure, without Kafka; `outcomes.py` reads the events.

An accepted or rejected command has events of its own, with ids that follow from the command. A command that joined an
open cancellation has none: that cancellation's last event lists it. An undecodable command became a dead letter.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.events import (
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
    event_id,
)

Position = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a command ended. The code says why, where it did not end in a cancellation."""

    kind: Literal["cancelled", "rejected", "failed", "dead_letter"]
    code: str | None = None
    detail: str | None = None
    event: Event | None = None

    @property
    def achieved(self) -> bool:
        """The evaluation is cancelled, be it by this command or by an earlier one."""
        return self.kind == "cancelled" or self.code == "already_cancelled"


class FollowedCommand:
    """One command whose events are awaited. `accepted` is None until then, and for ever when it joins another's."""

    def __init__(self, *, source: str, command_id: str, evaluation_id: UUID, changed: Callable[[], None]) -> None:
        self.source = source
        self.command_id = command_id
        self.evaluation_id = evaluation_id
        self.accepted: EvaluationCancelAccepted | None = None
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._changed = changed

    def observe(self, envelope: Envelope, event: Event) -> None:
        own = envelope.id == str(event_id(self.source, self.command_id, envelope.short_type))
        if isinstance(event, EvaluationCancelAccepted):
            if own:
                self.accepted = event
                self._changed()
        elif isinstance(event, EvaluationCancelRejected):
            if own:
                self.end(Outcome(kind="rejected", code=event.code, event=event))
        elif isinstance(event, EvaluationCancelled):
            if own or self._shares(event):
                self.end(Outcome(kind="cancelled", event=event))
        elif isinstance(event, EvaluationCancelFailed) and (own or self._shares(event)):
            self.end(Outcome(kind="failed", code=event.code, detail=event.detail, event=event))

    def end(self, outcome: Outcome) -> None:
        """The first outcome stands: what was published is published again when a command is sent twice."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)
            self._changed()

    def _shares(self, event: EvaluationCancelled | EvaluationCancelFailed) -> bool:
        if self.command_id in event.command_ids:
            return True
        # The list is cut at a hundred. Beyond that a command that was not rejected can only have joined.
        return event.command_count > len(event.command_ids)


class Tracker:
    """All commands that are followed."""

    def __init__(self) -> None:
        self._by_evaluation: dict[UUID, list[FollowedCommand]] = {}
        self._published: dict[Position, FollowedCommand] = {}
        self._dead_letters: dict[Position, Outcome] = {}

    def follow(
        self, *, source: str, command_id: str, evaluation_id: UUID, changed: Callable[[], None] = lambda: None
    ) -> FollowedCommand:
        """To be called before the command is published."""
        followed = FollowedCommand(source=source, command_id=command_id, evaluation_id=evaluation_id, changed=changed)
        self._by_evaluation.setdefault(evaluation_id, []).append(followed)
        return followed

    def published(self, followed: FollowedCommand, position: Position) -> None:
        """Dead letters name nothing but the position, and may be seen before it is known here."""
        letter = self._dead_letters.get(position)
        if letter is None:
            self._published[position] = followed
        else:
            followed.end(letter)

    def forget(self, followed: FollowedCommand) -> None:
        others = [each for each in self._by_evaluation.get(followed.evaluation_id, ()) if each is not followed]
        self._by_evaluation[followed.evaluation_id] = others
        if not others:
            del self._by_evaluation[followed.evaluation_id]
        self._published = {at: each for at, each in self._published.items() if each is not followed}
        if not self._by_evaluation:
            self._dead_letters.clear()

    def fail(self, error: BaseException) -> None:
        """No more outcomes can arrive."""
        for followed in [each for several in self._by_evaluation.values() for each in several]:
            if not followed.outcome.done():
                followed.outcome.set_exception(error)

    def observe(self, envelope: Envelope, event: Event) -> None:
        for followed in self._by_evaluation.get(event.evaluation_id, ()):
            followed.observe(envelope, event)

    def observe_dead_letter(self, position: Position, code: str, problem: str) -> None:
        outcome = Outcome(kind="dead_letter", code=code, detail=problem)
        followed = self._published.get(position)
        if followed is not None:
            followed.end(outcome)
        elif self._by_evaluation:
            self._dead_letters[position] = outcome
