"""A Job's status as a function of its spec, its old status and its pods; no I/O."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from deploy.local.kubernetes_simulated.objects import clock
from deploy.local.kubernetes_simulated.objects.resources import Object


@dataclass(kw_only=True, slots=True)
class Counts:
    """The pods of a Job, sorted; `succeeded` and `failed` are those not counted before."""

    active: list[Object] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0


def finished(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)


def time_left(spec: Object, status: Object) -> float | None:
    """Seconds until a Job has been active for longer than it may; None if it may for ever or has not begun."""
    if "activeDeadlineSeconds" not in spec or "startTime" not in status:
        return None
    start = datetime.strptime(status["startTime"], "%Y-%m-%dT%H:%M:%S%z")
    return float(spec["activeDeadlineSeconds"]) - (datetime.now(UTC) - start).total_seconds()


def wanted_pods(job: Object, counts: Counts) -> int:
    """How many pods should be active now."""
    spec = job["spec"]
    if spec["suspend"] or _failure(job, counts):
        return 0
    parallelism: int = spec["parallelism"]
    if "completions" not in spec:
        return parallelism
    succeeded = job["status"].get("succeeded", 0) + counts.succeeded
    return int(min(parallelism, max(0, spec["completions"] - succeeded)))


def after(job: Object, counts: Counts) -> Object:
    """The new status; zero counts are left out, as the real controller's JSON leaves them out."""
    old: Object = job["status"]
    succeeded, failed = old.get("succeeded", 0) + counts.succeeded, old.get("failed", 0) + counts.failed
    status: Object = dict(old)
    active = len(counts.active)
    if "deletionTimestamp" not in job["metadata"]:
        active = _conditions(job, status, counts, succeeded)
    for name, value in (("active", active), ("succeeded", succeeded), ("failed", failed)):
        if value:
            status[name] = value
        else:
            status.pop(name, None)
    status["ready"] = sum(_is_ready(pod) for pod in counts.active) if active else 0
    status["terminating"] = counts.terminating
    status["uncountedTerminatedPods"] = {}
    return status


def _conditions(job: Object, status: Object, counts: Counts, succeeded: int) -> int:
    """Set the conditions due; returns how many pods count as active."""
    spec, active = job["spec"], len(counts.active)
    if failure := _failure(job, counts):
        if not active:
            _add(status, ("FailureTarget", "Failed"), *failure)
        return 0
    needed = spec.get("completions")
    if not active and (succeeded >= needed if needed is not None else succeeded > 0):
        message = "Reached expected number of succeeded pods"
        _add(status, ("SuccessCriteriaMet", "Complete"), "CompletionsReached", message)
        status["completionTime"] = clock.now()
        return 0
    if spec["suspend"]:
        status.pop("startTime", None)
        _suspended(status, value=True)
        return 0
    if _suspended(status, value=False) or "startTime" not in status:
        status["startTime"] = clock.now()
    return wanted_pods(job, counts)


def _failure(job: Object, counts: Counts) -> tuple[str, str] | None:
    """Reason and message if the Job has to be given up."""
    spec, status = job["spec"], job["status"]
    if status.get("failed", 0) + counts.failed > spec["backoffLimit"]:
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = time_left(spec, status)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _suspended(status: Object, *, value: bool) -> bool:
    """Tell in a condition that the Job is suspended, or no longer; whether that is news."""
    conditions = list(status.get("conditions", ()))
    present = next((each for each in conditions if each["type"] == "Suspended"), None)
    if (present is None and not value) or (present and present["status"] == str(value)):
        return False
    word = "suspended" if value else "resumed"
    condition = _condition("Suspended", str(value), f"Job{word.capitalize()}", f"Job {word}")
    status["conditions"] = [*(each for each in conditions if each is not present), condition]
    return True


def _add(status: Object, kinds: tuple[str, ...], reason: str, message: str) -> None:
    added = [_condition(kind, "True", reason, message) for kind in kinds]
    status["conditions"] = [*status.get("conditions", ()), *added]


def _condition(kind: str, value: str, reason: str, message: str) -> Object:
    moment = clock.now()
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
