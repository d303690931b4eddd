"""Who asks, read from the claims that issuers of several makes write."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluation_cancel.producer.endpoint.identity.claims import Unauthenticated, caller_of_claims, check_audience
from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from evaluation_cancel.schemas.teams import canonical_team, spellings

TEAM = UUID("0190b0c0-0000-7000-8000-00000000000a")
CONSOLE = {
    f"team_{TEAM.hex}": {"role": "owner", "scopes": ["evaluations:write", "evaluations:read"]},
    "team_0190b0c0000070008000000000000000": {"role": "viewer", "scopes": ["evaluations:read"]},
}
VIEWED = "0190b0c0-0000-7000-8000-000000000000"


def settings(**given_settings: Any) -> IssuerSettings:
    return IssuerSettings(**{"jwks_url": "https://issuer.example/keys", "audience": "us", **given_settings})


def teams(claims: dict[str, Any], **given_settings: Any) -> tuple[str, ...]:
    return caller_of_claims({"sub": "ada", **claims}, "urn:issuer", settings(**given_settings)).teams


def refused(claims: dict[str, Any], **given_settings: Any) -> str:
    with pytest.raises(Unauthenticated) as error:
        caller_of_claims({"sub": "ada", **claims}, "urn:issuer", settings(**given_settings))
    return error.value.code


def test_the_keys_of_an_object_are_the_teams_in_their_canonical_spelling() -> None:
    assert teams({"teams": CONSOLE}) == (str(TEAM), VIEWED)


@pytest.mark.parametrize("asked", [{"team_scope": "evaluations:write"}, {"team_roles": ["owner", "admin"]}])
def test_only_teams_with_the_role_or_scope_that_is_asked_for_count(asked: dict[str, Any]) -> None:
    assert teams({"teams": CONSOLE}, **asked) == (str(TEAM),)
    assert teams({"teams": {str(TEAM): "owner"}}, **asked) == ()
    assert refused({"teams": [str(TEAM)]}, **asked) == "unusable_teams"


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (["blue", "red", "blue"], ("blue", "red")),
        ("blue  red", ("blue", "red")),
        ("", ()),
        ([], ()),
        ({}, ()),
        (None, ()),
        ([f"t{n}" for n in range(1000)], tuple(f"t{n}" for n in range(1000))),
    ],
)
def test_teams_are_a_list_a_string_or_nothing(claim: object, expected: tuple[str, ...]) -> None:
    assert teams({"teams": claim}) == expected


@pytest.mark.parametrize("claim", [7, [7], [None], True, [f"t{n}" for n in range(1001)], [""]])
def test_teams_of_another_kind_are_refused(claim: object) -> None:
    assert refused({"teams": claim}) == "unusable_teams"


def test_groups_that_were_too_many_for_the_token_are_told_as_that() -> None:
    claims = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}}
    assert refused(claims, teams_claim="groups") == "teams_left_out"
    assert teams(claims) == ()


def test_a_subject_may_be_a_number_or_missing_where_another_claim_names_the_user() -> None:
    assert caller_of_claims({"sub": 7}, "urn:issuer", settings()).requested_by.id == "7"
    other = settings(user_claim="email")
    caller = caller_of_claims({"email": "ada@example.org"}, "urn:issuer", other)
    assert (caller.subject, caller.requested_by.id) == ("ada@example.org", "ada@example.org")


@pytest.mark.parametrize("subject", [None, True, 1.5, ["ada"], {"id": "ada"}])
def test_no_usable_subject_is_no_user(subject: object) -> None:
    with pytest.raises(Unauthenticated) as error:
        caller_of_claims({"sub": subject}, "urn:issuer", settings())
    assert error.value.code == "no_user"


def test_without_an_audience_only_what_is_meant_for_nobody_else_is_accepted() -> None:
    lax = settings(audience=(), no_audience=True)
    check_audience({}, lax)
    with pytest.raises(Unauthenticated, match="another audience"):
        check_audience({"aud": "somebody"}, lax)
    with pytest.raises(Unauthenticated, match="names no audience"):
        check_audience({}, settings())
    for wrong in ({"audience": ()}, {"no_audience": True}):
        with pytest.raises(ValidationError, match="audience is needed"):
            settings(**wrong)


@given(st.uuids(), st.sampled_from(["", "team_", "team-", "TEAM_"]), st.booleans(), st.booleans())
def test_every_spelling_of_a_uuid_is_the_same_team(team: UUID, prefix: str, dashes: bool, upper: bool) -> None:
    text = str(team) if dashes else team.hex
    name = prefix + (text.upper() if upper else text)
    assert canonical_team(name) == str(team)
    assert {canonical_team(each) for each in spellings(name)} == {str(team)}
    assert {str(team), team.hex, f"team_{team.hex}", name} <= set(spellings(name))


@given(st.text())
def test_any_other_name_stands_for_itself(name: str) -> None:
    if canonical_team(name) != name:
        UUID(canonical_team(name))
    assert name in spellings(name)
    assert canonical_team(f"x{uuid4()}") != canonical_team(f"y{uuid4()}")
