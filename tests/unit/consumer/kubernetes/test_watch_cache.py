"""The memory of the watch: when it reports an end, and what it keeps of each pod."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.kubernetes.port import Pod
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache

EVALUATION = UUID(int=1)
LABEL = str(EVALUATION)
START = datetime(2026, 1, 1, tzinfo=UTC)


def pod(uid: str = "pod-1") -> Pod:
    """A running pod."""
    return Pod(name=uid, uid=uid, evaluation_id=LABEL, node="node-0", doubt="not_seen")


def stopped(uid: str = "pod-1") -> Pod:
    return replace(pod(uid), stopped=True, doubt=None)


def test_the_end_is_reported_when_all_jobs_and_pods_are_gone() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION, LABEL)
    seen.job_seen("second", EVALUATION, LABEL)
    seen.pod_seen(pod(), EVALUATION)
    assert not seen.pod_gone("pod-1", EVALUATION, stopped())
    assert not seen.job_gone("job", EVALUATION)
    assert seen.job_gone("second", EVALUATION)


def test_a_pod_seen_after_its_job_was_gone_delays_the_end() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION, LABEL)
    assert seen.job_gone("job", EVALUATION)
    seen.pod_seen(pod(), EVALUATION)
    assert seen.pod_gone("pod-1", EVALUATION, None)


def test_what_was_never_seen_cannot_end() -> None:
    seen = WatchCache()
    assert not seen.job_gone("job", EVALUATION)
    assert not seen.pod_gone("pod", EVALUATION, None)


def test_pods_keep_the_times_of_their_first_sight_and_of_their_end() -> None:
    moment = START
    seen = WatchCache(now=lambda: moment)
    seen.pod_seen(pod(), EVALUATION)
    moment = START + timedelta(seconds=5)
    seen.pod_seen(stopped(), EVALUATION)
    seen.pod_gone("pod-1", EVALUATION, stopped())
    (kept,) = seen.pods_of(EVALUATION)
    assert (kept.first_seen_at, kept.gone_at, kept.stopped) == (START, moment, True)


def test_the_state_in_which_a_pod_was_deleted_counts() -> None:
    seen = WatchCache()
    seen.pod_seen(pod(), EVALUATION)
    seen.pod_gone("pod-1", EVALUATION, replace(pod(), doubt="forced"))
    (kept,) = seen.pods_of(EVALUATION)
    assert (kept.stopped, kept.doubt) == (False, "forced")


def test_a_pod_that_vanished_unseen_was_not_seen_to_stop_unless_it_had_stopped_before() -> None:
    seen = WatchCache()
    seen.pod_seen(replace(pod("a"), doubt="forced"), EVALUATION)
    seen.pod_seen(stopped("b"), EVALUATION)
    seen.pod_gone("a", EVALUATION, None)
    seen.pod_gone("b", EVALUATION, None)
    assert [(kept.stopped, kept.doubt) for kept in seen.pods_of(EVALUATION)] == [(False, "not_seen"), (True, None)]


def test_spellings_of_the_label_are_kept() -> None:
    seen = WatchCache()
    seen.job_seen("job", EVALUATION, LABEL.upper())
    seen.pod_seen(replace(pod(), evaluation_id=EVALUATION.hex), EVALUATION)
    assert set(seen.labels_of(EVALUATION)) == {LABEL.upper(), EVALUATION.hex}
    assert set(seen.jobs_of(EVALUATION)) == {"job"}


def test_pods_are_covered_since_the_latest_stream_began_and_only_while_all_are_there() -> None:
    seen = WatchCache()
    assert seen.covered_since is None
    seen.covers("a", None)
    seen.covers("b", START)
    assert seen.covered_since is None
    seen.covers("a", START + timedelta(seconds=1))
    assert seen.covered_since == START + timedelta(seconds=1)


def test_the_memory_of_ended_evaluations_is_bounded_and_that_of_live_ones_is_not() -> None:
    seen = WatchCache(kept_ended=10)
    seen.job_seen("alive", EVALUATION, LABEL)
    seen.pod_seen(pod(), EVALUATION)
    others = [UUID(int=number) for number in range(100, 200)]
    for other in others:
        seen.job_seen(str(other), other, str(other))
        seen.pod_seen(pod(str(other)), other)
        seen.pod_gone(str(other), other, None)
        seen.job_gone(str(other), other)
    assert [len(seen.pods_of(others[n])) for n in (0, 89, 90, 99)] == [0, 0, 1, 1]
    assert len(seen.pods_of(EVALUATION)) == 1


EVENTS = st.permutations(["job+", "job-", "a+", "a-", "b+", "b-"]).filter(
    lambda order: all(order.index(f"{name}+") < order.index(f"{name}-") for name in ("job", "a", "b"))
)


@given(EVENTS)
def test_in_any_order_of_two_streams_the_last_event_reports_the_end(order: list[str]) -> None:
    seen = WatchCache()
    ended = False
    for event in order:
        name, sign = event[:-1], event[-1]
        if sign == "+" and name == "job":
            seen.job_seen("job", EVALUATION, LABEL)
        elif sign == "+":
            seen.pod_seen(pod(name), EVALUATION)
        elif name == "job":
            ended = seen.job_gone("job", EVALUATION)
        else:
            ended = seen.pod_gone(name, EVALUATION, None)
    assert ended
