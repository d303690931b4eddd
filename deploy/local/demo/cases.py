"""The cases of the story: one evaluation each, what was asked of it, and what must have come of it in the end.

A case is filled in as the story goes on. Whether it all is so is found out by `checks`.
"""

from dataclasses import dataclass, field

from deploy.local.play.orchestrator import Evaluation

ACCEPTED = "EvaluationCancelAccepted"
CANCELLED = "EvaluationCancelled"
REJECTED = "EvaluationCancelRejected"
CLEANED = "EvaluationArtifactsCleaned"
STOPPED = (ACCEPTED, CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A command on its way: source and id name it, `at` is the demo's time before it was sent."""

    source: str
    id: str
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What must be found in the end. `events` are the types in their order, each under one id."""

    status: str
    decisions: tuple[str, ...]
    """Of its commands in the order in which they were recorded; of a rejection its code."""
    events: tuple[str, ...]
    copies: int = 1
    """How often each event stands on the topic at least, byte for byte the same."""
    pods: int = 0
    """How many pods it still has; with none its Job is gone too."""
    artifacts: int = 0
    """Objects left beside the request file."""
    request_file: bool = True
    """Whether there was a request file at all: it is always left."""


@dataclass(kw_only=True, slots=True)
class Case:
    name: str
    evaluation: Evaluation
    expected: Expected
    asked: str = ""
    """What was asked by whom, for the closing table."""
    sent: list[Sent] = field(default_factory=list)
    told: bool = True
    """Whether each of its events is told as it comes."""
