"""Which table holds the evaluations, how its columns are named, and which words its status has."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

STATUSES: Final = ("created", "starting", "running", "succeeded", "failed", "cancelled")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}\Z")

Words = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
"""One word or several."""


def _own_words() -> dict[str, tuple[str, ...]]:
    return {status: (status,) for status in STATUSES}


class EvaluationsTable(BaseModel):
    """The table of evaluations and its columns. The default is the service's own table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = "evaluation_cancel.evaluations"
    """A base table, optionally with its schema. Not a view: views take no row triggers."""
    id: str = "id"
    """Column of the evaluation's id, a uuid."""
    team_id: str = "team_id"
    """Column of the owning team."""
    status: str = "status"
    """Column of the status, a text or an enum. `statuses` maps its values."""
    cluster: str = "cluster"
    """Column of the Job's cluster: a name in the setting CLUSTERS."""
    job_namespace: str = "job_namespace"
    """Column of the Job's namespace."""
    job_name: str = "job_name"
    """Column of the Job's name."""
    job_uid: str = "job_uid"
    """Column of the Job's uid, empty until the Job is created."""
    bucket: str = "bucket"
    """Column of the artifacts' bucket."""
    prefix: str = "prefix"
    """Column of the artifacts' prefix in the bucket."""
    request_key: str = "request_key"
    """Column of the key of the stored request, which cleanup keeps."""
    ended_at: str = "ended_at"
    """Column of the time of a final status."""
    statuses: dict[str, Words] = Field(default_factory=_own_words)
    """The service's status → the table's word, or a list of words that mean it; the first is the one to write. All six
    are needed, and no word may stand twice."""
    ignored_statuses: tuple[str, ...] = ()
    """Further words of the column that mean nothing here: their evaluations cannot be cancelled, and nothing warns."""

    @model_validator(mode="after")
    def _is_safe_sql(self) -> Self:
        for name in self.table.split("."):
            _check_identifier("table", name)
        for field in self.columns():
            _check_identifier(field, getattr(self, field))
        if set(self.statuses) != set(STATUSES) or not all(self.statuses.values()):
            raise ValueError(f"statuses: each of {', '.join(STATUSES)} needs a word of its own, and there is no other")
        words = [*self.ignored_statuses, *(word for words in self.statuses.values() for word in words)]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"statuses: each word means one thing, and {', '.join(map(repr, twice))} stands twice")
        return self

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The fields that name columns."""
        return tuple(f for f in cls.model_fields if f not in ("table", "statuses", "ignored_statuses"))

    @property
    def quoted(self) -> str:
        """The table's name in SQL."""
        return ".".join(f'"{part}"' for part in self.table.split("."))

    @property
    def is_our_own(self) -> bool:
        """Whether the service creates the table itself."""
        return self.table == "evaluation_cancel.evaluations"


def _check_identifier(field: str, name: str) -> None:
    if not _IDENTIFIER.match(name):
        raise ValueError(f"{field}: {name!r} is not a plain SQL identifier (letters, digits, _ and $)")
