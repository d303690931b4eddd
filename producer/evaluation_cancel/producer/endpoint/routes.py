"""The operations: understand the request, call, answer. `identity/guard.py` authenticates the caller first."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StrictBool

from evaluation_cancel.producer.endpoint.answers import Answer
from evaluation_cancel.producer.endpoint.cancel import CancelEvaluations, CancelRequest
from evaluation_cancel.producer.endpoint.documents import CANCEL, SECURITY, STATUS
from evaluation_cancel.producer.endpoint.identity.guard import GuardedRoute, caller_of
from evaluation_cancel.producer.endpoint.preferences import Preference
from evaluation_cancel.producer.endpoint.server.traffic import CLIENT_GONE
from evaluation_cancel.producer.endpoint.status import Cancellation, CommandStatus, cancellation_status, command_status
from evaluation_cancel.producer.endpoint.store import Store
from evaluation_cancel.schemas.fields import Text

router = APIRouter(prefix="/v1", route_class=GuardedRoute)

_KEY: Final = r"^[!-~]([ -~]{0,253}[!-~])?$"
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
NO_CANCELLATION: Final = "Cancellation not found, or its command is not recorded yet"


class CancelOptions(BaseModel):
    """What may be said about a cancellation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reason: Text | None = None
    """Stored with the cancellation."""
    cleanup_artifacts: StrictBool = False
    """Delete the artifacts afterwards; the request file is kept."""


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=_KEY,
        max_length=255,
        description="The same key, the same command: it counts once.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=N`: seconds to wait for the end. `respond-async`: answer once it is decided.",
    ),
]


@router.post(
    "/evaluations/{evaluation_id}/cancel",
    tags=["Diamond", "evaluations"],
    summary="Cancel Evaluation",
    response_model=dict[str, str],
    responses=CANCEL,
    openapi_extra=SECURITY,
)
async def cancel_evaluation(
    evaluation_id: UUID,
    request: Request,
    options: CancelOptions | None = None,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,  # noqa: ARG001  # documented here, read from all headers of the name
) -> Response:
    """Cancel an evaluation: its Kubernetes Job is deleted, and 200 says that no pod of it is left."""
    _one_key(request)
    given = options or CancelOptions()
    cancel: CancelEvaluations = request.app.state.cancel
    preference: Callable[[list[str]], Preference] = request.app.state.preference
    asked, answer = await cancel.handle(
        CancelRequest(
            caller=caller_of(request),
            evaluation_id=evaluation_id,
            reason=given.reason,
            cleanup_artifacts=given.cleanup_artifacts,
            idempotency_key=idempotency_key,
            preference=preference(request.headers.getlist("prefer")),
            traceparent=_trace_parent(request),
        ),
        partial(_gone, request),
    )
    request.state.told = {"evaluation_id": str(evaluation_id), "command_id": asked.command_id}
    return Response(status_code=CLIENT_GONE) if answer is None else response(answer)


@router.get("/cancellations/{command_id}", tags=["cancellations"], responses=STATUS, openapi_extra=SECURITY)
async def read_cancellation(command_id: UUID, request: Request) -> CommandStatus:
    """How the cancellation goes on that this command opened or joined; for the caller's teams only."""
    store: Store = request.app.state.store
    caller = caller_of(request)
    actor = (caller.requested_by.kind, caller.requested_by.id)
    row = await store.command(request.app.state.source, str(command_id), caller.teams, actor)
    if row is None:
        raise HTTPException(404, NO_CANCELLATION)
    return command_status(row)


@router.get("/evaluations/{evaluation_id}/cancellation", tags=["evaluations"], responses=STATUS, openapi_extra=SECURITY)
async def read_cancellation_of_evaluation(evaluation_id: UUID, request: Request) -> Cancellation:
    """The latest cancellation of an evaluation; for the caller's teams only."""
    store: Store = request.app.state.store
    row = await store.latest(evaluation_id, caller_of(request).teams)
    if row is None:
        raise HTTPException(404, NO_CANCELLATION)
    return cancellation_status(row)


def response(answer: Answer) -> JSONResponse:
    return JSONResponse(dict(answer.body), status_code=answer.status, headers=dict(answer.headers))


async def _gone(request: Request) -> None:
    """Ends when the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _one_key(request: Request) -> None:
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise RequestValidationError(
            [{"loc": ("header", "Idempotency-Key"), "msg": "There is more than one", "type": "several_keys"}]
        )


def _trace_parent(request: Request) -> str | None:
    given = request.headers.get("traceparent", "")
    return given if _TRACE_PARENT.fullmatch(given) else None
