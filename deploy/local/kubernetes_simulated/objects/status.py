"""The failures an API server answers, each as the Status body the real one sends.

Raise one anywhere below the HTTP layer; `server` writes it. Wording is the real server's, because clients and
people match on it.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from deploy.local.kubernetes_simulated.objects.resources import Object, Resource


class ApiError(Exception):
    """A failure with the Status body that tells it."""

    def __init__(self, body: Object, *, retry_after: int | None = None) -> None:
        super().__init__(body["message"])
        self.body = body
        self.code: int = body["code"]
        self.retry_after = retry_after


def failure(code: int, reason: str, message: str, details: Object | None = None) -> Object:
    """A Status of kind Failure with its fields in the real server's order."""
    body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body["message"] = message
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = {key: value for key, value in details.items() if value not in ("", None)}
    body["code"] = code
    return body


def success(resource: Resource, metadata: Object) -> Object:
    """What a DELETE answers that removed the object at once."""
    name, uid = metadata["name"], metadata["uid"]
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _about(resource: Resource, name: str) -> Object:
    return {"name": name, "group": resource.group, "kind": resource.plural}


def not_found(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(failure(404, "NotFound", message, _about(resource, name)))


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(failure(409, "AlreadyExists", message, _about(resource, name)))


def modified_meanwhile(resource: Resource, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return ApiError(failure(409, "Conflict", message, _about(resource, name)))


def storage_conflict(resource: Resource, namespace: str, name: str, version: str) -> ApiError:
    """A quirk of the real server: it compares the version asked for with the empty one of an update it left out."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": StorageError: invalid object, Code: 4, '
        f"Key: /registry/{resource.plural}/{namespace}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        f"failed: ResourceVersion in precondition: , ResourceVersion in object meta: {version}"
    )
    return ApiError(failure(409, "Conflict", message, _about(resource, name)))


def precondition_failed(resource: Resource, name: str, field: str, wanted: str, found: str) -> ApiError:
    """A DELETE whose uid or resourceVersion precondition does not hold; names the kind, not the plural."""
    hint = "deleted and then recreated" if field == "UID" else "modified"
    message = (
        f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": the {field} in the precondition '
        f"({wanted}) does not match the {field} in record ({found}). The object might have been {hint}"
    )
    details = {"name": name, "group": resource.group, "kind": resource.kind}
    return ApiError(failure(409, "Conflict", message, details))


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong with one field."""

    field: str
    text: str
    cause: str


def invalid(resource: Resource, name: str, field: str, text: str, cause: str = "FieldValueInvalid") -> ApiError:
    return invalid_fields(resource, name, [Problem(field=field, text=text, cause=cause)])


def invalid_fields(resource: Resource, name: str, problems: list[Problem]) -> ApiError:
    said = [f"{problem.field}: {problem.text}" for problem in problems]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    causes = [{"reason": each.cause, "message": each.text, "field": each.field} for each in problems]
    details = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes}
    return ApiError(failure(422, "Invalid", f'{resource.qualified_kind} "{name}" is invalid: {listed}', details))


def bad_request(message: str) -> ApiError:
    return ApiError(failure(400, "BadRequest", message))


def unauthorized() -> ApiError:
    return ApiError(failure(401, "Unauthorized", "Unauthorized"))


def forbidden(message: str, details: Object) -> ApiError:
    return ApiError(failure(403, "Forbidden", message, details))


def expired(message: str) -> ApiError:
    return ApiError(failure(410, "Expired", message))


def not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(failure(405, "MethodNotAllowed", message, {}))


def unknown_resource() -> ApiError:
    """A kind that a group of the API does not have."""
    return ApiError(failure(404, "NotFound", "the server could not find the requested resource", {}))


def bad_watch_version(problem: str) -> ApiError:
    """The real server answers 500 here, where a list gets 400."""
    return ApiError(failure(500, "", problem))


def injected(code: int, message: str, details: Any, retry_after: int | None) -> ApiError:
    """A failure that a test asked for: the reason the real server gives with that code."""
    reasons = {
        400: "BadRequest",
        401: "Unauthorized",
        403: "Forbidden",
        404: "NotFound",
        409: "Conflict",
        410: "Expired",
        422: "Invalid",
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "Timeout",
    }
    if code == HTTPStatus.UNAUTHORIZED:
        return unauthorized()
    return ApiError(failure(code, reasons.get(code, ""), message, details), retry_after=retry_after)
