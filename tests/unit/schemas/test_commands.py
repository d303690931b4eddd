from uuid import UUID

import pytest
from pydantic import ValidationError

from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from tests.support.schemas.examples import COMMAND


def test_the_same_wish_serialised_anew_has_the_same_meaning() -> None:
    again = CancelEvaluation.model_validate_json(
        b'{"cleanup_artifacts": false, "note": "new field", "reason": "wrong model",'
        b' "requested_by": {"id": "ada", "team_ids": ["other-team"], "kind": "user"},'
        b' "evaluation_id": "{3F1C9A52-7D0E-4C1B-9F6A-0D2B8C4E5A61}"}'
    )
    assert again.meaning() == COMMAND.meaning()


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation_id": UUID(int=1)},
        {"requested_by": RequestedBy(kind="service", id="ada")},
        {"requested_by": RequestedBy(kind="user", id="bob")},
        {"reason": None},
        {"reason": "other"},
        {"cleanup_artifacts": True},
    ],
)
def test_another_wish_has_another_meaning(change: dict[str, object]) -> None:
    assert COMMAND.model_copy(update=change).meaning() != COMMAND.meaning()


def test_an_empty_reason_is_not_no_reason() -> None:
    assert COMMAND.model_copy(update={"reason": ""}).meaning() != COMMAND.model_copy(update={"reason": None}).meaning()


def test_a_command_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        COMMAND.reason = "better"  # type: ignore[misc]
