"""The pages as a router: `create_router(services, settings, document)`, to be mounted beside the API."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from callwright.control.api.documentation import Documentation
from callwright.control.api.packing import takes_gzip
from callwright.control.api.problems import ApiProblem
from callwright.control.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    KillSwitchEngaged,
    NotFound,
    QuotaExceeded,
    RefusedByPolicy,
    StorageUnavailable,
    TooManyGuesses,
)
from callwright.control.services import Services, Settings
from callwright.control.web import (
    account,
    admin,
    alerts,
    api_reference,
    board,
    calls,
    documentation,
    endpoints,
    fleet,
    guide_pages,
    incidents,
    login,
    monitoring,
    notifications,
    numbers,
    overview,
    phones,
    rendering,
    report,
    run_page,
    runs,
    status,
    tests,
)
from callwright.control.web.assets import assets
from callwright.control.web.visitor import ForgedForm, Pages, SignInNeeded, WebRequest, path_of
from callwright.scenario.source import DocumentError

_log = logging.getLogger("callwright.http")

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (ForgedForm, 403),
    (RefusedByPolicy, 403),
    (KillSwitchEngaged, 409),
    (Conflict, 409),
    (Invalid, 422),
    (DocumentError, 422),
    (QuotaExceeded, 429),
    (TooManyGuesses, 429),
    (StorageUnavailable, 503),
)
_FORGED = "This form did not come from a page of yours"
_FORGED_REMEDY = "Open the page again and send it from there."
_NOWHERE = "The page may have been removed, or the address may be wrong."


def create_router(services: Services, settings: Settings, document: Documentation) -> Router:
    """Everything for people: pages, their assets, and what they ask for by themselves."""
    pages = Pages(services, settings)

    return Router(
        "/",
        route_handlers=[
            asset,
            *login.routes(pages),
            *overview.routes(pages),
            *guide_pages.routes(pages),
            *documentation.routes(pages),
            *api_reference.routes(pages, document),
            *tests.routes(pages),
            *runs.routes(pages),
            *run_page.routes(pages),
            *monitoring.routes(pages),
            *endpoints.routes(pages),
            *fleet.routes(pages),
            *alerts.routes(pages),
            *incidents.routes(pages),
            *status.routes(pages),
            *report.routes(pages),
            *board.routes(pages),
            *calls.routes(pages),
            *phones.routes(pages),
            *numbers.routes(pages),
            *admin.routes(pages),
            *notifications.routes(pages),
            *account.routes(pages),
        ],
        exception_handlers={Exception: _now(pages), HTTPException: _now(pages)},
        include_in_schema=False,
    )


@get("/assets/{name:path}")
async def asset(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
    """A stylesheet, script or picture; for ever when it is asked for by its version."""
    found = assets().get(str(name).lstrip("/"))
    if found is None:
        raise NotFound("asset", str(name))
    lasting = request.query_params.get("v") == found.version
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        "ETag": f'"{found.version}"',
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    if found.packed is not None and takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return Response(found.packed, headers=headers, media_type=found.media_type)
    return Response(found.data, headers=headers, media_type=found.media_type)


def _now(pages: Pages) -> Any:
    def handler(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return _refused(pages, request, error)

    return handler


def _refused(pages: Pages, request: WebRequest, error: Exception) -> Response[Any]:
    """A refusal as a page. Nobody signed in: the page to do so, in place, with 401; no redirection."""
    if isinstance(error, SignInNeeded):
        query = request.scope.get("query_string", b"").decode("ascii", "replace")
        here = request.scope["path"] + (f"?{query}" if query else "")
        if request.method != "GET":  # back to the page that the form stood on
            here = path_of(request.headers.get("referer", ""))
        return login.sign_in(pages, request, status=401, next_=here)
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    heading, remedy = "Something in Callwright itself went wrong", "It was logged; try again."
    headers: dict[str, str] = {}
    match error:
        case ForgedForm():
            heading, remedy = _FORGED, _FORGED_REMEDY
        case DomainError():
            heading, remedy = error.message, error.remedy
        case DocumentError():
            heading, remedy = str(error.problems[0].message), ""
        case ApiProblem():
            status, heading, remedy, headers = error.status, error.message, "", error.headers
        case HTTPException(status_code=code) if code < 500:
            status, heading, remedy = code, "There is nothing at this address", _NOWHERE
            if code == 405:
                heading, remedy, headers = "This cannot be done here", "", dict(error.headers or {})
        case _:
            _log.error("a bug answered 500 to %s %s", request.method, request.scope["path"], exc_info=error)
    context = {"heading": heading, "remedy": remedy}
    plain = rendering.page("plain_problem.html", {**context, "home": True}, status=status)
    plain.headers.update(headers)
    if status >= 500:
        return plain
    return _InFrame(pages, plain, context, headers)


class _InFrame(Response[Any]):
    """A refusal with the menu for who is signed in, and `plain` for others: who asks is found out when it is
    sent, since Litestar does not wait for what handles an exception."""

    def __init__(
        self, pages: Pages, plain: Response[bytes], context: Mapping[str, str], headers: Mapping[str, str]
    ) -> None:
        super().__init__(plain.content, status_code=plain.status_code, media_type=plain.media_type)
        self._pages, self._plain, self._context, self._extra = pages, plain, context, headers

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            found = await self._found(request)
            await found.to_asgi_response(app, request, **options)(scope, receive, send)

        return answer

    async def _found(self, request: WebRequest) -> Response[bytes]:
        try:
            visitor = await self._pages.visitor(request)
            status = self._plain.status_code or 500
            # Never compressed, so its token need not be masked: two refusals of one kind are the same page.
            found = await self._pages.page(
                request, visitor, "problem.html", "", status=status, csrf=visitor.csrf, **self._context
            )
        except SignInNeeded:
            return self._plain
        except Exception:  # no menu, but the refusal is told
            _log.warning("the menu could not be made beside a refusal", exc_info=True)
            return self._plain
        found.headers.update(self._extra)
        return found
