"""Servers by name: made, listed, ended. Everything here is for administrators."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, fields_of, read_octets
from callwright.control.api.fleet import schemas
from callwright.control.api.problems import ApiProblem
from callwright.control.api.request import Flag, services_of
from callwright.control.servers.model import ServerRecord

_Request = Request[Any, Any, Any]
_ADMINISTER = {"right": Right.ADMINISTER}
_NOT_KEPT = {"Cache-Control": "no-store"}


@get("/api/servers", opt=_ADMINISTER)
async def list_servers(request: _Request) -> Response[list[schemas.Server]]:
    """Oldest first, those that stopped included."""
    services, identity = services_of(request), identity_of(request)
    shown = await services.certificates.of_all(identity)
    found = [schemas.server(one, shown.get(one.name)) for one in await services.servers.listed()]
    return Response(found, headers=_NOT_KEPT)


@post("/api/servers", opt=_ADMINISTER, status_code=200)
async def create_server(request: _Request) -> Response[schemas.Server]:
    """`pool`, `region` and `size` may be named; any other body is as good as none."""
    fields = await _wishes(request)
    services, identity = services_of(request), identity_of(request)
    made = await services.servers.order(
        identity,
        take.text(fields, "pool", optional=True, longest=64) or None,
        region=take.text(fields, "region", optional=True, longest=255),
        size=take.text(fields, "size", optional=True, longest=255),
    )
    return Response(schemas.server(made, None, await services.servers.token(made)), headers=_NOT_KEPT)


async def _wishes(request: _Request) -> Fields:
    """Programs written for the original send whatever they like, since it reads no body."""
    body = await read_octets(request)
    try:
        return fields_of(request, body)
    except ApiProblem:
        return {}


@get("/api/servers/{name:str}", opt=_ADMINISTER)
async def get_server(request: _Request, name: FromPath[str]) -> Response[schemas.Server]:
    return await _shown(request, await services_of(request).servers.get(name))


@delete("/api/servers/{name:str}", opt=_ADMINISTER, status_code=200)
async def delete_server(
    request: _Request, name: FromPath[str], force: Flag = False
) -> Response[schemas.Server] | Response[None]:
    """It finishes its calls first. `force`: one in state `error` is listed no more (204); its machine, if it
    has one, is destroyed all the same."""
    ended = await services_of(request).servers.end(identity_of(request), name, force=force)
    return Response(None, status_code=204) if ended is None else await _shown(request, ended)


async def _shown(request: _Request, record: ServerRecord) -> Response[schemas.Server]:
    found = await services_of(request).certificates.of(identity_of(request), record.name)
    return Response(schemas.server(record, found), headers=_NOT_KEPT)


ROUTES: list[Any] = [list_servers, create_server, get_server, delete_server]
