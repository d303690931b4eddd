"""The OpenAPI document: the operations of `routes.py` with every status code that they can answer.

For the POST it contains everything of the console's own document, and our additions.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

SECURITY: Final[dict[str, Any]] = {"security": [{"bearer": []}]}
_NOT_SENT: Final = ("input", "ctx")
"""FastAPI's own validation errors repeat what was sent; ours do not."""


class Problem(BaseModel):
    """Why there is no better answer."""

    detail: str


class CodedProblem(Problem):
    """The same, with a stable word for programs."""

    code: str


class PublishProblem(CodedProblem):
    """The command may not have reached Kafka."""

    idempotency_key: str | None = None
    """To repeat the request with."""


class Refused(CodedProblem):
    """The evaluation has ended already."""

    status: str | None = None
    ended_at: str | None = None
    cancellation_id: str | None = None


class Accepted(BaseModel):
    """Not ended yet: `cancelling`, or `submitted` when it is not known to be decided."""

    status: str
    evaluation_id: str
    command_id: str
    idempotency_key: str


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_RETRY: Final = {"Retry-After": _header("Seconds until the next try.")}
_COME_BACK: Final = {"Location": _header("How it goes on."), **_RETRY}
_APPLIED: Final = {"Preference-Applied": _header("Which preferences were taken into account.")}
_CHALLENGE: Final = {"WWW-Authenticate": _header("Bearer, with the error where a token was given.")}

GUARDED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "No good token", "headers": _CHALLENGE},
    429: {"model": Problem, "description": "Too many requests of this caller", "headers": _RETRY},
    431: {"model": Problem, "description": "The headers are too large"},
    503: {"model": CodedProblem, "description": "Not now", "headers": _RETRY},
}

CANCEL: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": _APPLIED},
    202: {
        "model": Accepted,
        "description": "Still stopping, or not known to be decided",
        "headers": {**_COME_BACK, **_APPLIED},
    },
    400: {"model": Refused, "description": "Completed or cancelled already"},
    404: {"model": Problem, "description": "No such evaluation in the caller's teams"},
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "The body is too large"},
    500: {
        "model": CodedProblem,
        "description": "The cancellation failed",
        "headers": {"Location": _header("What is known of it.")},
    },
    **GUARDED,
    503: {"model": PublishProblem, "description": "Not acknowledged by Kafka, or no keys", "headers": _RETRY},
}

STATUS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "Nothing of the caller's teams"},
    **GUARDED,
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = made["components"]
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        for name in _NOT_SENT:
            components["schemas"]["ValidationError"]["properties"].pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema
