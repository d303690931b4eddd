"""Selects records by time, evaluation, team, actor, type and decision.

Cheap conditions are checked first. A record that cannot be decoded can still match by its time, by the type in its
headers, and by an evaluation's id in its key or anywhere in its value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from evaluation_cancel.consumer.audit.history.facts import Facts, facts_of, short_type
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Conditions on a record; all must hold. A condition that is None or empty always holds."""

    since_ms: int | None = None
    """The first selected millisecond."""
    before_ms: int | None = None
    """The first millisecond after the selection."""
    evaluation: UUID | None = None
    team: str | None = None
    actor: str | None = None
    types: frozenset[str] = frozenset()
    """Short names, such as `EvaluationCancelled`; `DeadLetter` for dead letters."""
    decision: str | None = None
    """`accepted`, `rejected` or the code of a rejection. Only events have decisions. A joined command has no event."""

    @property
    def is_narrow(self) -> bool:
        """Whether there are conditions besides time."""
        return bool(self.evaluation or self.team or self.actor or self.types or self.decision)

    def in_time(self, record: RawRecord) -> bool:
        """Whether the record's timestamp is selected."""
        moment = record.timestamp_ms
        return (self.since_ms is None or moment >= self.since_ms) and (
            self.before_ms is None or moment < self.before_ms
        )

    def matcher(self) -> Callable[[RawRecord], bool]:
        """The fastest function that checks all conditions."""
        if not self.is_narrow:
            return self.in_time
        return self._matches

    def _matches(self, record: RawRecord) -> bool:
        if not self.in_time(record):
            return False
        if self.types and short_type(record) not in self.types:
            return False
        if self.evaluation is not None and not _about(record, str(self.evaluation).encode()):
            return False
        if self.team is None and self.actor is None and self.decision is None:
            return True
        return self._fits(facts_of(record))

    def _fits(self, facts: Facts) -> bool:
        return (
            (self.team is None or self.team == facts.team or self.team in facts.acts_for)
            and (self.actor is None or self.actor == facts.actor)
            and (self.decision is None or self.decision in facts.decisions)
        )


def _about(record: RawRecord, identity: bytes) -> bool:
    if record.key is not None and record.key.lower() == identity:
        return True
    value = record.value
    return value is not None and identity in value.lower()
