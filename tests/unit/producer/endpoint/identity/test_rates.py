import pytest

from evaluation_cancel.producer.endpoint.identity.rates import Rates, TooManyRequests


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_the_steady_rate() -> None:
    clock = Clock()
    rates = Rates(per_second=2, burst=3, clock=clock)
    for _ in range(3):
        rates.take("ada")
    with pytest.raises(TooManyRequests) as refused:
        rates.take("ada")
    assert refused.value.seconds == pytest.approx(0.5)
    clock.now += 0.5
    rates.take("ada")


def test_being_refused_costs_no_permit() -> None:
    clock = Clock()
    rates = Rates(per_second=1, burst=1, clock=clock)
    rates.take("ada")
    for _ in range(10):
        clock.now += 0.05
        with pytest.raises(TooManyRequests):
            rates.take("ada")
    clock.now += 0.51
    rates.take("ada")


def test_one_caller_does_not_use_up_anothers_permits() -> None:
    rates = Rates(per_second=1, burst=1, clock=Clock())
    rates.take("ada")
    rates.take("bob")


def test_memory_is_bounded_however_many_callers_come() -> None:
    rates = Rates(per_second=1, burst=1, callers=10, clock=Clock())
    for number in range(1000):
        rates.take(number)
    assert len(rates._buckets) == 10
