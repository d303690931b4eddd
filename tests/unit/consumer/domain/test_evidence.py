from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.domain.evidence import dump_evidence, load_evidence, published_evidence

moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
pods = st.builds(PodGone, name=texts, uid=texts, first_seen_at=moments, gone_at=st.none() | moments)
evidences = st.builds(
    TeardownEvidence,
    job=st.none() | texts,
    job_finished=st.none() | st.sampled_from(["succeeded", "failed"]),
    pods=st.lists(pods, max_size=5).map(tuple),
    pod_count=st.integers(0, 10_000),
    manual_selector=st.none() | st.booleans(),
)


@given(evidences)
def test_evidence_is_loaded_as_it_was_dumped(evidence: TeardownEvidence) -> None:
    assert load_evidence(dump_evidence(evidence)) == evidence


@given(evidences)
def test_published_evidence_counts_every_pod_and_lists_only_those_that_are_gone(evidence: TeardownEvidence) -> None:
    published = published_evidence(evidence)
    assert published.pod_count >= len(evidence.pods)
    assert len(published.pods) == sum(pod.gone_at is not None for pod in evidence.pods)


def test_a_thousand_pods_are_counted_and_a_hundred_listed() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    many = tuple(PodGone(name=str(n), uid=str(n), first_seen_at=at, gone_at=at) for n in range(1000))
    published = published_evidence(TeardownEvidence(job="uid", pods=many, pod_count=1000))
    assert (len(published.pods), published.pod_count) == (100, 1000)


def test_a_row_without_evidence_loads_as_empty_evidence() -> None:
    assert load_evidence(None) == TeardownEvidence()
