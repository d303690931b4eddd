"""Turns the facts of a record into a title and a sentence, fit for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from evaluation_cancel.consumer.audit.history.facts import COMMAND, DEAD_LETTER, Facts
from evaluation_cancel.schemas.plain_text import visible

_TITLES: Final = {
    COMMAND: "cancel",
    "EvaluationCancelAccepted": "accepted",
    "EvaluationCancelled": "cancelled",
    "EvaluationCancelRejected": "rejected",
    "EvaluationCancelFailed": "failed",
    "EvaluationArtifactsCleaned": "artifacts cleaned",
    DEAD_LETTER: "dead letter",
}


def title(facts: Facts) -> str:
    """A short name for the kind of record."""
    return plain(_TITLES.get(facts.type or "", facts.type or "not understood"))


def describe(facts: Facts) -> str:
    """The record in one line. Characters that could control a terminal are replaced."""
    data = facts.data if isinstance(facts.data, dict) else {}
    match facts.type:
        case "EvaluationCancelled":
            text = describe_evidence(data.get("evidence"))
        case "EvaluationArtifactsCleaned":
            text = (
                f"{data.get('state')}: {data.get('deleted_count')} deleted, {data.get('kept_count')} kept,"
                f" {data.get('failed_count')} failed"
            )
        case "EvaluationCancelFailed":
            text = f"{facts.code}: {data.get('detail')}"
        case "EvaluationCancelRejected":
            request = describe_request(facts.actor_kind, facts.actor, facts.reason, cleanup=False)
            text = " ".join(word for word in (facts.code, _since(data), request) if word)
        case "DeadLetter":
            text = f"{facts.code}: {data.get('field')} {data.get('problem')}"
        case None:
            text = "no message of this system"
        case _:
            cleanup = data.get("cleanup_artifacts") is True
            text = describe_request(facts.actor_kind, facts.actor, facts.reason, cleanup=cleanup)
    return plain(text)


def describe_request(kind: str | None, actor: str | None, reason: str | None, *, cleanup: bool) -> str:
    """The actor of a command, whether it requests a cleanup of artifacts, and its reason."""
    requester = " ".join(word for word in (kind, actor) if word) or "nobody known"
    return f"by {requester}{', artifacts too' if cleanup else ''}{'' if reason is None else f': {reason}'}"


def _since(data: dict[str, Any]) -> str:
    ended = data.get("ended_at")
    return "" if ended is None else f"({data.get('status')} since {ended})"


def describe_evidence(evidence: Any) -> str:
    """The evidence of an outcome event in one line."""
    if not isinstance(evidence, dict):
        return "without evidence"
    finished = evidence.get("job_finished")
    operator = evidence.get("resolved_by")
    return (
        f"job {evidence.get('job')}{f' (had {finished})' if finished else ''},"
        f" {evidence.get('pod_count', 0)} pods seen gone"
        + _proof(evidence)
        + (f", closed by hand by {operator.get('id')}: {evidence.get('resolve_reason')}" if operator else "")
    )


def _proof(evidence: dict[str, Any]) -> str:
    proven = evidence.get("stop_proven")
    if proven is None:
        return ""
    if proven:
        return ", stop proven"
    return f", stop presumed ({', '.join(map(str, evidence.get('doubts') or ()))})"


def describe_pod(pod: Mapping[str, Any]) -> str:
    """What is known of one pod in the evidence, in one line."""
    state = f" ({str(pod['node_state']).replace('_', ' ')})" if pod.get("node_state") else ""
    where = f" on {pod['node']}{state}" if pod.get("node") else ""
    containers = [f"{each['name']} exit {each['exit_code']}" for each in pod.get("containers") or ()]
    ended = f", terminated: {', '.join(containers)}" if containers else ""
    doubt = f", its end was not seen ({pod['doubt']})" if pod.get("doubt") and not pod.get("stopped") else ""
    return f"{pod.get('name')} ({pod.get('uid')}){where}{ended}{doubt}"


def plain(text: str, limit: int = 400) -> str:
    """The text on one line of at most `limit` characters; what could control a terminal is shown as an escape."""
    clean = visible(text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
