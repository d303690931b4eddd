"""What the watch remembers, and when it says that something ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache

EVALUATION = UUID(int=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_end_is_told_when_the_last_of_job_and_pods_is_gone() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    seen.pod_seen("job", "pod-2", "b", EVALUATION)
    assert seen.pod_gone("job", "pod-1") is None
    assert seen.job_gone("job") is None
    assert seen.pod_gone("job", "pod-2") == EVALUATION


def test_a_job_without_pods_is_over_with_itself() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    assert seen.job_gone("job") == EVALUATION


def test_a_pod_seen_only_after_its_job_went_is_waited_for() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    assert seen.job_gone("job") == EVALUATION
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    assert seen.pod_gone("job", "pod-1") == EVALUATION


def test_what_was_never_seen_cannot_end() -> None:
    seen = WatchCache()
    assert seen.job_gone("job") is None
    assert seen.pod_gone("job", "pod") is None


def test_pods_keep_when_they_were_first_seen_and_when_they_went() -> None:
    moment = START
    seen = WatchCache(now=lambda: moment)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    moment = START + timedelta(seconds=5)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    seen.pod_gone("job", "pod-1")
    (pod,) = seen.pods_of("job")
    assert (pod.first_seen_at, pod.gone_at) == (START, moment)


def test_memory_of_what_ended_is_bounded_and_of_what_lives_is_not() -> None:
    seen = WatchCache(kept_ended=10)
    seen.job_seen("alive", EVALUATION)
    seen.pod_seen("alive", "pod", "p", EVALUATION)
    for number in range(100):
        uid = f"job-{number}"
        seen.job_seen(uid, EVALUATION)
        seen.pod_seen(uid, f"pod-{number}", "p", EVALUATION)
        seen.pod_gone(uid, f"pod-{number}")
        seen.job_gone(uid)
    assert [len(seen.pods_of(f"job-{n}")) for n in (0, 89, 90, 99)] == [0, 0, 1, 1]
    assert len(seen.pods_of("alive")) == 1


EVENTS = st.permutations(["job+", "job-", "a+", "a-", "b+", "b-"]).filter(
    lambda order: all(order.index(f"{what}+") < order.index(f"{what}-") for what in ("job", "a", "b"))
)


@given(EVENTS)
def test_in_whatever_order_two_streams_are_heard_the_very_last_event_tells_the_end(order: list[str]) -> None:
    seen = WatchCache()
    told: list[bool] = []
    for event in order:
        what, sign = event[:-1], event[-1]
        if what == "job":
            ended = seen.job_seen("job", EVALUATION) if sign == "+" else seen.job_gone("job")
        else:
            ended = seen.pod_seen("job", what, what, EVALUATION) if sign == "+" else seen.pod_gone("job", what)
        told.append(ended == EVALUATION)
    assert told[-1]
