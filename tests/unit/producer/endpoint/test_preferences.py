from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.producer.endpoint.preferences import Preference, preference


def of(*headers: str) -> Preference:
    return preference(headers, default_wait=25, longest_wait=55)


def test_without_a_preference_the_default_wait_counts() -> None:
    assert of() == Preference(seconds=25)


def test_a_wait_is_taken_and_said_to_be() -> None:
    assert of("wait=3") == Preference(seconds=3, applied="wait=3")


def test_a_wait_beyond_the_longest_is_cut_and_said_so() -> None:
    assert of("wait=600") == Preference(seconds=55, applied="wait=55")


def test_respond_async_means_until_it_is_decided() -> None:
    assert of("Respond-Async") == Preference(seconds=25, until_decided=True, applied="respond-async")


def test_both_mean_async_after_the_wait() -> None:
    assert of("respond-async", "wait=10") == Preference(seconds=10, applied="wait=10, respond-async")


def test_the_first_of_two_waits_counts_wherever_it_stands() -> None:
    assert of('foo; bar=1, WAIT = "4"; x=y', "wait=9").seconds == 4


def test_no_wait_at_all_is_a_wait() -> None:
    assert of("wait=0") == Preference(seconds=0, applied="wait=0")


@given(st.lists(st.text(max_size=60), max_size=4))
def test_nothing_that_is_sent_breaks_it_or_the_bounds(headers: list[str]) -> None:
    assert 0 <= of(*headers).seconds <= 55
