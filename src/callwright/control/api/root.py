"""`GET /`: what there is. Made from the routes themselves, so that it names nothing that does not work."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.routes import HTTPRoute

from callwright.control.api.answers import Data, Operation
from callwright.control.api.links import PATH, links_of


@get("/", tags=["platform"], summary="List the endpoints")
async def list_endpoints(request: Request[Any, Any, Any]) -> Data[list[Operation]]:
    base = links_of(request).base
    found: dict[str, Operation] = {}
    for route in request.app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(PATH):
            continue
        spelled = route.path_format
        described = [handler for handler in route.route_handlers if handler.summary]
        methods = sorted({str(method) for handler in described for method in handler.http_methods})
        if methods:
            what = "; ".join(str(handler.summary) for handler in described)
            found[spelled] = Operation(
                path=spelled, url=f"{base}{spelled}", methods=methods, description=what
            )
    return Data(data=[found[path] for path in sorted(found)])


ROUTES: list[Any] = [list_endpoints]
