"""Commands that were understood and still cannot be handled, as dead letters with the reason."""

from __future__ import annotations

from consumer.errors import scrub
from consumer.messages import Message
from consumer.outcome_events import OutcomeEvents
from consumer.received import ReceivedCommand
from schemas.records import UndecodableRecord


def unstorable(events: OutcomeEvents, command: ReceivedCommand, error: Exception) -> list[Message]:
    """For a command with a value that Postgres will never take."""
    return _letter(events, command, "unstorable", "data", scrub(str(error)))


def id_reused(events: OutcomeEvents, command: ReceivedCommand) -> list[Message]:
    """For a command whose source and id have been used for one with another meaning."""
    problem = "was used before for another command; give each command an id of its own"
    return _letter(events, command, "id_reused", "id", problem)


def _letter(events: OutcomeEvents, command: ReceivedCommand, code: str, field: str, problem: str) -> list[Message]:
    if command.record is None:
        return []  # read back from the inbox: it has been stored, so neither can happen
    error = UndecodableRecord(
        code=code,
        field=field,
        problem=problem,
        topic=command.topic,
        partition=command.partition,
        offset=command.offset,
    )
    return [events.dead_letter(command.record, error)]
