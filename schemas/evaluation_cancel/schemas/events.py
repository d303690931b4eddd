"""The five events: facts in the past tense, each published under one id.

No event grows without bound: lists are samples of at most 100 beside their true count. `wire/codec.py` encodes them.
"""

from typing import Annotated, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from evaluation_cancel.schemas.fields import MAX_LIST, Code, CommandIds, Count, Identifier, Message, Moment, Text

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:ai.vijil.evaluations")

Status = Literal["created", "starting", "running", "succeeded", "failed", "cancelled"]
RejectionCode = Literal["not_found", "forbidden", "already_completed", "already_cancelled", "expired", "unknown_status"]


class Actor(Message):
    """Who asked. Their teams stay out of events."""

    kind: Literal["user", "service"]
    id: Identifier


class ContainerEnded(Message):
    """One container that was seen terminated."""

    name: Identifier
    exit_code: int
    reason: Identifier | None = None


class PodEnded(Message):
    """One pod of the evaluation, when its object was seen to be gone, and what is known of its processes."""

    name: Identifier
    gone_at: Moment
    node: Identifier | None = None
    stopped: bool | None = None
    """True: all its containers were seen terminated, or it was on no node. False: `doubt` says why not."""
    doubt: Code | None = None
    node_state: Code | None = None
    """`ready`, `not_ready` or `gone`: the node of a pod in doubt, when it was last read."""
    containers: Annotated[tuple[ContainerEnded, ...], Field(max_length=MAX_LIST)] = ()


class Evidence(Message):
    """What was seen of the end: whether processes were seen to end, or only their objects to vanish."""

    job: Identifier
    """The Job's uid, or `never seen`, or `not created`."""
    job_finished: Literal["succeeded", "failed"] | None = None
    pods: Annotated[tuple[PodEnded, ...], Field(max_length=MAX_LIST)] = ()
    pod_count: Count = 0
    stop_proven: bool | None = None
    """True: no process of the evaluation can run. False: presumed, see `doubts`. Null in events of older versions."""
    doubts: Annotated[tuple[Code, ...], Field(max_length=MAX_LIST)] = ()
    managed_by: Identifier | None = None
    """The controller that ran the Job elsewhere (`spec.managedBy`)."""
    resolved_by: Actor | None = None
    resolve_reason: Text | None = None


class AcceptedCancellation(Message):
    """What is known of a cancellation from its acceptance on."""

    evaluation_id: UUID
    cancellation_id: UUID
    team_id: Identifier
    status_before: Status
    requested_by: Actor
    reason: Text | None = None
    cleanup_artifacts: bool = False
    requested_at: Moment | None = None
    accepted_at: Moment


class EvaluationCancelAccepted(AcceptedCancellation):
    """From this moment on the evaluation ends as cancelled: stop launching it."""


class EvaluationCancelled(AcceptedCancellation):
    """No Job and no pod of the evaluation is left; `evidence.stop_proven` says if its processes were seen to end."""

    command_ids: CommandIds = ()
    command_count: Count = 0
    cancelled_at: Moment
    evidence: Evidence


class EvaluationCancelRejected(Message):
    """The command was refused and changed nothing. Names neither owner nor team."""

    evaluation_id: UUID
    requested_by: Actor
    code: RejectionCode
    status: Status | None = None
    ended_at: Moment | None = None
    cancellation_id: UUID | None = None


class EvaluationCancelFailed(Message):
    """Given up, in the certainty that nothing was deleted."""

    evaluation_id: UUID
    cancellation_id: UUID
    team_id: Identifier
    requested_by: Actor
    reason: Text | None = None
    code: Code
    detail: Text
    accepted_at: Moment
    failed_at: Moment
    command_ids: CommandIds = ()
    command_count: Count = 0


class KeptArtifact(Message):
    """One object left where it was, and why."""

    key: Text
    why: Code


class EvaluationArtifactsCleaned(Message):
    """What became of the artifacts, after the cancellation and apart from it."""

    evaluation_id: UUID
    cancellation_id: UUID
    team_id: Identifier
    state: Literal["done", "partial"]
    deleted_count: Count = 0
    kept_count: Count = 0
    failed_count: Count = 0
    deleted_bytes: Count = 0
    kept: Annotated[tuple[KeptArtifact, ...], Field(max_length=MAX_LIST)] = ()
    failed_codes: Annotated[dict[Identifier, Count], Field(max_length=MAX_LIST)] = Field(default_factory=dict)
    aborted_uploads: Count = 0
    versions_retained: Count | None = None
    """Old versions a versioned bucket still holds; null when that could not be learnt."""
    finished_at: Moment


Event = (
    EvaluationCancelAccepted
    | EvaluationCancelled
    | EvaluationCancelRejected
    | EvaluationCancelFailed
    | EvaluationArtifactsCleaned
)

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    event.__name__: event
    for event in (
        EvaluationCancelAccepted,
        EvaluationCancelled,
        EvaluationCancelRejected,
        EvaluationCancelFailed,
        EvaluationArtifactsCleaned,
    )
}


def event_id(source: str, command_id: str, event_type: str) -> UUID:
    """The id of the event of this short type that the command brought about, the same however often it is made."""
    # Lengths first, so that no two different triples can be spelled alike.
    name = f"{len(source)}:{source}{len(command_id)}:{command_id}{len(event_type)}:{event_type}"
    return uuid5(_NAMESPACE, name)


def dead_letter_id(topic: str, partition: int, offset: int) -> UUID:
    return uuid5(_NAMESPACE, f"{len(topic)}:{topic}:{partition}:{offset}")


def bare_command_id(topic: str, partition: int, offset: int) -> UUID:
    """The id of a command that came without one: the same whenever that record is read."""
    return uuid5(_NAMESPACE, f"bare:{len(topic)}:{topic}:{partition}:{offset}")
