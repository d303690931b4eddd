"""The field types of all messages: identifiers, texts, times, counts.

Each bound keeps a value storable in Postgres and every message below a known size. `commands.py` and `events.py` use
them, and `wire/attributes.py` for the envelope.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_IDENTIFIER_BYTES = 512
MAX_TEXT = 1024
MAX_LIST = 100
MAX_TEAMS = 1000
EARLIEST_YEAR = 1970
LATEST_YEAR = 2200
MAX_COUNT = 2**63 - 1


class Message(BaseModel):
    """Frozen, and deaf to fields it does not know: a newer writer must not stop an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("invalid_text", "holds a NUL character")
    return text


def _short_in_bytes(text: str) -> str:
    # 128 characters cannot exceed 512 bytes, so the usual identifier is never encoded for this.
    if len(text) > MAX_IDENTIFIER_BYTES // 4 and len(text.encode()) > MAX_IDENTIFIER_BYTES:
        raise PydanticCustomError("out_of_range", "is longer than 512 bytes")
    return _without_nul(text)


def _reasonable(moment: datetime) -> datetime:
    if moment.tzinfo is not UTC:
        if moment.utcoffset() is None:
            raise PydanticCustomError("invalid_field", "has no offset from UTC")
        _within_years(moment)  # first: the conversion overflows at the ends of the calendar
        moment = moment.astimezone(UTC)
    _within_years(moment)
    return moment


def _within_years(moment: datetime) -> None:
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise PydanticCustomError("out_of_range", "lies outside the years 1970 to 2200")


Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_IDENTIFIER_BYTES), AfterValidator(_short_in_bytes)
]
"""A name chosen by the sender: 1 to 512 bytes of UTF-8."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_without_nul)]
"""What a person or a foreign system wrote: at most 1024 characters."""

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A stable snake_case word for programs to compare."""

Moment = Annotated[datetime, AfterValidator(_reasonable), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time with an offset, kept in UTC; in JSON RFC 3339 with a Z."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
CommandIds = Annotated[tuple[Identifier, ...], Field(max_length=MAX_LIST)]
