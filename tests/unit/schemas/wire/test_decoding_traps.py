"""Each undecodable record is refused with its code, field and position."""

import pytest

from evaluation_cancel.schemas.wire.codec import UndecodableRecord, decode_command
from tests.support.schemas.undecodable import UNDECODABLE, data


@pytest.mark.parametrize("name", UNDECODABLE)
def test_an_undecodable_record_is_refused_with_code_field_and_position(name: str) -> None:
    undecodable, code, field = UNDECODABLE[name]
    with pytest.raises(UndecodableRecord) as caught:
        decode_command(undecodable)
    error = caught.value
    assert (error.code, error.field) == (code, field)
    assert (error.topic, error.partition, error.offset) == ("commands", 3, 42)
    assert error.problem
    assert str(error).isprintable()


def test_brackets_in_a_text_do_not_count_as_depth() -> None:
    assert decode_command(data(reason='{["\\' * 200))[1].reason == '{["\\' * 200


def test_the_problem_does_not_repeat_the_value() -> None:
    with pytest.raises(UndecodableRecord) as caught:
        decode_command(data(evaluation_id="a-secret-token"))
    assert "a-secret-token" not in str(caught.value)
