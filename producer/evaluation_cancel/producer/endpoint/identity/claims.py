"""Reads who asks from verified claims: the audience, the user and the teams, as each issuer writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.teams import canonical_team


class Unauthenticated(Exception):  # noqa: N818 - an answer, not a fault
    """No token, or one that is not good."""

    def __init__(self, problem: str, *, code: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = code
        """The reason in a word, for metrics and the log."""
        self.issuer: str | None = None
        self.key_id: str | None = None
        """As the token claims them, where it could be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks, as the issuer vouches for it."""

    issuer: str
    subject: str
    requested_by: RequestedBy

    @property
    def teams(self) -> tuple[str, ...]:
        return self.requested_by.team_ids


def check_audience(claims: Mapping[str, Any], settings: IssuerSettings) -> None:
    """Raises Unauthenticated unless the token is meant for us."""
    claimed = _strings(claims.get(settings.audience_claim))
    if not claimed:
        if settings.no_audience:
            return
        raise Unauthenticated("the token names no audience", code="no_audience")
    if not set(claimed) & set(settings.audience):
        raise Unauthenticated("the token is meant for another audience", code="wrong_audience")


def caller_of_claims(claims: Mapping[str, Any], issuer: str, settings: IssuerSettings) -> Caller:
    """Who asks. Raises Unauthenticated for claims that cannot be used."""
    user = _name(_at(claims, settings.user_claim))
    if user is None:
        raise Unauthenticated(f"the token has no {'.'.join(settings.user_claim)}", code="no_user")
    teams = tuple(dict.fromkeys(map(canonical_team, _teams(claims, settings))))
    try:
        requested_by = RequestedBy(kind=settings.kind, id=user, team_ids=teams)
        # The subject takes part in ids and is a key of ours, so that it is held to the rules of ids.
        subject = RequestedBy(kind="user", id=_name(claims.get("sub", user)) or "").id
    except ValidationError as errors:
        field = errors.errors()[0]["loc"][0]
        what = "user" if field == "id" else "teams"
        code = "unusable_user" if field == "id" else "unusable_teams"
        raise Unauthenticated(f"the token's {what} cannot be used: {errors.errors()[0]['msg']}", code=code) from None
    return Caller(issuer=issuer, subject=subject, requested_by=requested_by)


def _teams(claims: Mapping[str, Any], settings: IssuerSettings) -> Sequence[str]:
    """Of a list, of a string with spaces between, or the keys of an object."""
    teams = _at(claims, settings.teams_claim)
    if isinstance(teams, Mapping):
        return [team for team, entry in teams.items() if _is_granted(entry, settings)]
    if settings.team_roles or settings.team_scope is not None:
        raise Unauthenticated("the token's teams are no object with roles and scopes", code="unusable_teams")
    if teams is None:
        left_out = claims.get("_claim_names")
        if isinstance(left_out, Mapping) and settings.teams_claim[0] in left_out:
            raise Unauthenticated(
                "the token leaves the teams out, since they are too many for it (_claim_names)", code="teams_left_out"
            )
        return ()
    if isinstance(teams, str):
        return teams.split()
    listed = _strings(teams)
    if listed is None:
        raise Unauthenticated("the token's teams are no list of strings, string or object", code="unusable_teams")
    return listed


def _is_granted(entry: object, settings: IssuerSettings) -> bool:
    """Whether the entry of a team has the role and the scope that the settings ask for."""
    granted = entry if isinstance(entry, Mapping) else {}
    if settings.team_roles and granted.get("role") not in settings.team_roles:
        return False
    return settings.team_scope is None or settings.team_scope in (_strings(granted.get("scopes")) or ())


def _name(value: object) -> str | None:
    """A text, or a number as one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _at(claims: Mapping[str, Any], way: Sequence[str]) -> Any:
    value: Any = claims
    for name in way:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _strings(value: object) -> list[str] | None:
    """A string or a list of strings as a list; None for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None
