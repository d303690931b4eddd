"""Authenticates the caller of each operation before the request is read.

FastAPI alone would validate the body first, and its errors would show a stranger what exists.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from evaluation_cancel.producer.endpoint.identity.claims import Caller
from evaluation_cancel.producer.endpoint.identity.rates import Rates
from evaluation_cancel.producer.endpoint.identity.tokens import Tokens


class StrictRequest(Request):
    """JSON as orjson reads it: no NaN, no broken UTF-8, no nesting without end; each is a 422 and not a fault."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class GuardedRoute(APIRoute):
    """First the token, then the caller's rate, then the operation."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        operation = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            tokens: Tokens = request.app.state.tokens
            rates: Rates = request.app.state.rates
            caller = await tokens.caller(request.headers.getlist("authorization"))
            rates.take((caller.issuer, caller.subject))
            request.state.caller = caller
            return await operation(StrictRequest(request.scope, request.receive))

        return guarded


def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller
