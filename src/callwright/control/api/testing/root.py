"""`GET /`: what there is. Made from the routes themselves, so that it names nothing that does not work."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.routes import HTTPRoute

from callwright.control.api.request import links_of
from callwright.control.api.testing import schemas
from callwright.control.api.testing.translate import PATH


@get("/", tags=["platform"], summary="List the endpoints")
async def list_endpoints(request: Request[Any, Any, Any]) -> schemas.Data[list[schemas.Endpoint]]:
    base = links_of(request).base
    found: dict[str, schemas.Endpoint] = {}
    for route in request.app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(PATH):
            continue
        spelled = route.path_format
        described = [handler for handler in route.route_handlers if handler.summary]
        methods = sorted({str(method) for handler in described for method in handler.http_methods})
        if methods:
            what = "; ".join(str(handler.summary) for handler in described)
            found[spelled] = schemas.Endpoint(
                path=spelled, url=f"{base}{spelled}", methods=methods, description=what
            )
    return schemas.Data(data=[found[path] for path in sorted(found)])


ROUTES: list[Any] = [list_endpoints]
