"""Refusals to HTTP, once: a domain error becomes a status and a sentence, a bug a 500 that says nothing more.

The body has the shape of the chapter that was asked, see `chapters.refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from callwright.control import errors
from callwright.control.api.chapters import FLEET, refusal
from callwright.scenario.source import DocumentError

JSON_TYPE = "application/json"
_PROGRAMS = ("/api/", "/v1.", *FLEET, "/metrics")  # whoever asks there wants JSON


class ApiProblem(Exception):
    """An answer that is not a success. `details` become `errors`: objects with at least `message`."""

    def __init__(
        self,
        status: int,
        message: str,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = [dict(entry) for entry in details]
        self.headers = dict(headers or {})

    def response(self, path: str = "") -> Response[bytes]:
        """``path``: what was asked for; its chapter says which shape the body has."""
        status, body = refusal(path, self.status, self.message, self.errors)
        return Response(
            msgspec.json.encode(body), status_code=status, media_type=JSON_TYPE, headers=self.headers
        )


def unauthorized(message: str = "The credentials are missing or wrong.") -> ApiProblem:
    return ApiProblem(401, message, headers={"WWW-Authenticate": 'Basic realm="Callwright", charset="UTF-8"'})


def invalid(address: str, message: str, *, value: object = None, permitted: Sequence[str] = ()) -> ApiProblem:
    """A field that cannot be taken: 422 with the address, the value and what is permitted."""
    return ApiProblem(422, message, [field_error(address, message, value=value, permitted=permitted)])


def field_error(
    address: str, message: str, *, value: object = None, permitted: Sequence[str] = ()
) -> dict[str, Any]:
    shown = None if value is None else str(value)[:200]
    return {"address": address, "message": message, "value": shown, "permitted": list(permitted)}


#: A refusal of the domain to its status; the first that fits holds.
_STATUS: tuple[tuple[type[errors.DomainError], int], ...] = (
    (errors.NotFound, 404),
    (errors.Invalid, 422),
    (errors.RefusedByPolicy, 422),
    (errors.Forbidden, 403),
    (errors.Conflict, 409),
    (errors.KillSwitchEngaged, 409),
    (errors.QuotaExceeded, 429),
    (errors.TooManyGuesses, 429),
    (errors.NotRegistered, 412),
    (errors.StorageUnavailable, 503),
)
_RETRY_AFTER = {429: "10", 503: "2"}


def of_domain(error: errors.DomainError) -> ApiProblem | None:
    """None for what is no answer to a request (a schema that is too new)."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        return None
    message = " ".join(part for part in (error.message, error.remedy) if part)
    found: list[Mapping[str, Any]] = []
    if isinstance(error, errors.Invalid):
        found = [_entry(entry) for entry in error.errors]
    elif isinstance(error, errors.RefusedByPolicy):
        found = [field_error(error.address, error.reason) | {"remedy": error.remedy}]
    elif isinstance(error, errors.NotFound):
        found = [_missing(error, error.what)]
    elif isinstance(error, errors.Conflict) and error.field:
        found = [field_error(error.field, error.message)]
    retry = {"Retry-After": _RETRY_AFTER[status]} if status in _RETRY_AFTER else {}
    if isinstance(error, errors.TooManyGuesses):
        retry = {"Retry-After": str(error.seconds)}
    return ApiProblem(status, message, found, retry)


def unknown_value(error: errors.NotFound, address: str) -> ApiProblem:
    """A name in a field of the request that nothing has: a wrong value like any other, so 422."""
    message = " ".join(part for part in (error.message, error.remedy) if part)
    return ApiProblem(422, message, [_missing(error, address)])


def _missing(error: errors.NotFound, address: str) -> dict[str, Any]:
    named: dict[str, Any] = {"nearest": error.nearest, "nearest_names": error.near}
    return field_error(address, error.message, value=error.name) | named


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One error of the domain with the keys that each has here, and whatever else it brought."""
    plain: dict[str, Any] = {
        "address": entry.get("address") or entry.get("field"),
        "value": entry.get("key"),
        "permitted": [],
    }
    return {**plain, **entry, "address": plain["address"]}


def handlers(log_bug: Callable[[str, Exception], None], people: Any = None) -> dict[Any, Any]:
    """Exception handlers for Litestar; `log_bug` hears of what nobody foresaw, with the request's line.
    `people`: the handler for addresses that are not the API's.
    """

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if people is not None and not request.scope["path"].startswith(_PROGRAMS):
            page: Response[Any] = people(request, error)
            return page
        problem = _known(request, error)
        if problem is None:
            log_bug(f"{request.method} {request.scope['path'][:200]}", error)
            problem = ApiProblem(500, "Something in Callwright itself went wrong; it was logged.")
        return problem.response(request.scope["path"])

    return {Exception: answer, HTTPException: answer, 500: answer}


def _known(request: Request[Any, Any, Any], error: Exception) -> ApiProblem | None:
    match error:
        case ApiProblem():
            return error
        case errors.DomainError():
            return of_domain(error)
        case DocumentError():
            return of_domain(errors.Invalid.of_document(error.problems))
        case MethodNotAllowedException():
            headers = {
                name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"
            }
            return ApiProblem(405, f"{request.method} is not permitted here.", headers=headers)
        case NotFoundException():
            return ApiProblem(404, f"There is nothing at {request.scope['path'][:200]}.")
        case HTTPException(status_code=status) if status < 500:
            return ApiProblem(status, _sentence(error), _extra(error.extra))
        case _:
            return None


def _sentence(error: HTTPException) -> str:
    """Litestar tells of wrong parameters as "Validation failed for GET /…"; the extra has which."""
    extra = _extra(error.extra)
    if extra:
        return "; ".join(f"{entry['address']}: {entry['message']}" for entry in extra[:3])
    return str(error.detail) or "The request cannot be understood."


def _extra(extra: Any) -> list[dict[str, Any]]:
    if not isinstance(extra, list):
        return []
    return [
        field_error(str(entry.get("key") or "request"), str(entry.get("message") or "is not right"))
        for entry in extra
        if isinstance(entry, dict)
    ]
