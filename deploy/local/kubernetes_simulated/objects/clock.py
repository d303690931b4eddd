"""Times and random names as the API server writes them."""

import secrets
from datetime import UTC, datetime, timedelta

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def now(*, later: float = 0) -> str:
    """The present, or some seconds later, in RFC 3339 with whole seconds."""
    moment = datetime.now(UTC) + timedelta(seconds=later)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def random_suffix() -> str:
    """Five characters without vowels, as `generateName` and the Job controller append."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))
