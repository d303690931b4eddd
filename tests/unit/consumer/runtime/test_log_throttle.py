"""Lines that are held back, and when they come again."""

from __future__ import annotations

from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def told_at(
    throttle: LogThrottle, clock: Clock, key: str, seconds: float, step: float = 0.1
) -> list[tuple[float, int]]:
    """When a thing that goes wrong ten times a second is told, and how many each line stands for."""
    begun = clock.now
    told = []
    while clock.now < begun + seconds:
        suppressed = throttle.allow(key)
        if suppressed is not None:
            told.append((round(clock.now - begun), suppressed))
        clock.now += step
    return told


def test_the_first_line_comes_at_once_and_the_rest_rarer_and_rarer_with_their_count() -> None:
    clock = Clock()
    told = told_at(LogThrottle(clock=clock), clock, "down", 60)
    assert [at for at, _ in told] == [0, 1, 3, 7, 15, 25, 35, 45, 55]
    assert told[0][1] == 0
    assert abs(told[5][1] - 99) <= 1


def test_one_thing_holds_back_no_other() -> None:
    throttle = LogThrottle(clock=Clock())
    assert [throttle.allow("a"), throttle.allow("a"), throttle.allow("b")] == [0, None, 0]


def test_after_a_calm_it_is_news_again() -> None:
    clock = Clock()
    throttle = LogThrottle(clock=clock)
    told_at(throttle, clock, "down", 60)
    clock.now += 30
    assert [at for at, _ in told_at(throttle, clock, "down", 4)] == [0, 1, 3]
