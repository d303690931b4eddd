"""The one error of the local stand: a stable code for programs, a sentence for people.

Nothing here decides what to do about it; `python -m deploy.local` prints it, the tests let it fail the run.
"""


class StandError(Exception):
    """A part of the stand cannot be had, did not start, or ended by itself."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotAsToldError(Exception):
    """Something the story relies on did not come in time."""
