"""The memory of the watch, and when it reports an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache

EVALUATION = UUID(int=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_end_is_reported_when_the_job_and_all_its_pods_are_gone() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    seen.pod_seen("job", "pod-2", "b", EVALUATION)
    assert seen.pod_gone("job", "pod-1") is None
    assert seen.job_gone("job") is None
    assert seen.pod_gone("job", "pod-2") == EVALUATION


def test_a_job_without_pods_ends_when_it_is_gone() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    assert seen.job_gone("job") == EVALUATION


def test_a_pod_seen_after_its_job_was_gone_delays_the_end() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION)
    assert seen.job_gone("job") == EVALUATION
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    assert seen.pod_gone("job", "pod-1") == EVALUATION


def test_a_job_that_was_never_seen_cannot_end() -> None:
    seen = WatchCache()
    assert seen.job_gone("job") is None
    assert seen.pod_gone("job", "pod") is None


def test_pods_keep_the_times_of_their_first_sight_and_of_their_end() -> None:
    moment = START
    seen = WatchCache(now=lambda: moment)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    moment = START + timedelta(seconds=5)
    seen.pod_seen("job", "pod-1", "a", EVALUATION)
    seen.pod_gone("job", "pod-1")
    (pod,) = seen.pods_of("job")
    assert (pod.first_seen_at, pod.gone_at) == (START, moment)


def test_the_memory_of_ended_jobs_is_bounded_and_that_of_live_ones_is_not() -> None:
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
    lambda order: all(order.index(f"{name}+") < order.index(f"{name}-") for name in ("job", "a", "b"))
)


@given(EVENTS)
def test_in_any_order_of_two_streams_the_last_event_reports_the_end(order: list[str]) -> None:
    seen = WatchCache()
    reported: list[bool] = []
    for event in order:
        name, sign = event[:-1], event[-1]
        if name == "job":
            ended = seen.job_seen("job", EVALUATION) if sign == "+" else seen.job_gone("job")
        else:
            ended = seen.pod_seen("job", name, name, EVALUATION) if sign == "+" else seen.pod_gone("job", name)
        reported.append(ended == EVALUATION)
    assert reported[-1]
