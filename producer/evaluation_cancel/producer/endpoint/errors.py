"""Maps errors outside the use case to answers: `{"detail": …}` with the headers that belong to them."""

from __future__ import annotations

import math
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from evaluation_cancel.producer.endpoint.answers import NO_KEYS, unavailable
from evaluation_cancel.producer.endpoint.identity.claims import Unauthenticated
from evaluation_cancel.producer.endpoint.identity.jwks import KeysUnavailable
from evaluation_cancel.producer.endpoint.identity.rates import TooManyRequests
from evaluation_cancel.producer.endpoint.metrics import Metrics
from evaluation_cancel.producer.endpoint.routes import response
from evaluation_cancel.producer.endpoint.store import StoreUnavailable

_SHOWN: Final = 200
_log = structlog.get_logger(__name__)


def answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Makes the app answer them."""

    async def unauthenticated(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Unauthenticated)  # noqa: S101  # as registered below
        metrics.unauthenticated(error.code)
        if error.code != "no_token":
            _log.info(
                "A token was refused.",
                action="unauthenticated",
                reason=error.code,
                issuer=_shown(error.issuer),
                key_id=_shown(error.key_id),
            )
        challenge = "Bearer"
        if error.code != "no_token":
            challenge += f' error="invalid_token", error_description="{_quotable(error.problem)}"'
        return JSONResponse({"detail": error.problem}, 401, {"WWW-Authenticate": challenge})

    async def too_many(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TooManyRequests)  # noqa: S101
        return JSONResponse(
            {"detail": "Too many requests of this caller"}, 429, {"Retry-After": str(math.ceil(error.seconds))}
        )

    async def no_keys(_request: Request, _error: Exception) -> JSONResponse:
        return response(unavailable({"detail": NO_KEYS, "code": "keys_unavailable"}))

    async def no_store(_request: Request, _error: Exception) -> JSONResponse:
        detail = "What is known of it cannot be read now; repeat the request later."
        return response(unavailable({"detail": detail, "code": "postgres_unavailable"}))

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        # Not what was sent: nothing is gained by repeating it, and it may be long.
        problems = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
        return JSONResponse({"detail": problems}, 422)

    async def bug(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "Internal error", "code": "internal"}, 500)

    app.add_exception_handler(Unauthenticated, unauthenticated)
    app.add_exception_handler(TooManyRequests, too_many)
    app.add_exception_handler(KeysUnavailable, no_keys)
    app.add_exception_handler(StoreUnavailable, no_store)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, bug)


def _shown(text: str | None) -> str | None:
    """What a stranger's token says, short enough for a log."""
    return None if text is None else text[:_SHOWN]


def _quotable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in text)
