from uuid import uuid4

import pytest

from evaluation_cancel.producer.cli.cancelling import Progress, State, exit_code


def rows(*states: State) -> list[Progress]:
    return [Progress(evaluation_id=uuid4(), command_id="c", state=state) for state in states]


@pytest.mark.parametrize(
    ("states", "waited", "code"),
    [
        ((State.CANCELLED, State.ALREADY_CANCELLED), True, 0),
        ((State.PUBLISHED,), False, 0),
        ((State.PUBLISHED,), True, 3),
        ((State.CANCELLED, State.REJECTED), True, 1),
        ((State.CANCELLED, State.FAILED), True, 1),
        ((State.CANCELLED, State.TIMED_OUT), True, 3),
        ((State.PUBLISHED, State.UNKNOWN), False, 3),
        ((State.FAILED, State.UNKNOWN), True, 1),
    ],
)
def test_the_exit_code_follows_the_outcomes(states: tuple[State, ...], waited: bool, code: int) -> None:
    assert exit_code(rows(*states), waited=waited) == code
