"""Servers, as this chapter shows them: by number, with what people call them and when they logged in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch
from litestar.params import QueryParameter

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.monitoring.answers import Collection, Dates, collection, dates_of
from callwright.control.api.monitoring.asking import MaybeStatus, holds, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.request import Id, MaybeWord, services_of
from callwright.control.servers.model import ServerRecord
from callwright.fleet.record import Facts

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_FIELDS = {
    "name": text("What people call it."),
    "ip_address": text("An address or a host name; empty or null: as it was seen."),
    "description": text("Empty or null for none."),
}
_Included = Annotated[bool, QueryParameter(description="Whether these are in the list; true if absent.")]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """`private`: a person enrolled it; all others are of the community. `last_login_date` null: never.
    `deleted_at` null: the server has not been cancelled."""

    id: int
    name: str
    ip_address: str
    region: str
    description: str | None
    private: bool
    version: str
    last_login_date: str | None
    last_login_ip: str
    created_at: str
    deleted_at: str | None


def shown(server: ServerRecord, dates: Dates) -> Server:
    return Server(
        id=server.number,
        name=server.label,
        ip_address=server.host,
        region=server.region,
        description=server.description,
        private=server.private,
        version=server.version,
        last_login_date=dates.maybe(server.last_login_at),
        last_login_ip=server.last_login_ip,
        created_at=dates.text(server.created),
        deleted_at=dates.maybe(server.deleted_at),
    )


@get("/servers", opt=_READ, tags=TAGS, summary="List servers")
async def list_servers(
    request: _Request,
    name: MaybeWord = None,
    ip_address: MaybeWord = None,
    community: _Included = True,
    private: _Included = True,
    status: MaybeStatus = None,
) -> Collection[Server]:
    """`name` and `ip_address` match anywhere, in either case."""
    wanted, dates = status_of(status), await dates_of(request)
    return collection(
        shown(server, dates)
        for server in await services_of(request).servers.listed_for(identity_of(request))
        if wanted.fits(server.deleted_at)
        and (private if server.private else community)
        and holds(server.label, name)
        and holds(server.host, ip_address)
    )


@get("/servers/{server_id:int}", opt=_READ, tags=TAGS, summary="Show a server")
async def show_server(request: _Request, server_id: Id) -> Server:
    found = await services_of(request).servers.numbered(identity_of(request), server_id)
    return shown(found, await dates_of(request))


@patch(
    "/servers/{server_id:int}",
    opt={**_ADMINISTER, "body": body_of(_FIELDS)},
    tags=TAGS,
    summary="Change what a server is called and where it is",
)
async def change_server(request: _Request, server_id: Id) -> Server:
    fields = await read_fields(request)
    take.only(fields, tuple(_FIELDS))
    facts = Facts()
    if "name" in fields:
        facts["label"] = take.text(fields, "name", longest=255)
    if "ip_address" in fields:
        facts["ip_address"] = take.text(fields, "ip_address", optional=True, longest=255) or None
    if "description" in fields:
        facts["description"] = take.text(fields, "description", optional=True, longest=1_000) or None
    servers, identity = services_of(request).servers, identity_of(request)
    if facts:
        await servers.describe(identity, server_id, **facts)
    return shown(await servers.numbered(identity, server_id), await dates_of(request))


@delete(
    "/servers/{server_id:int}",
    opt=_ADMINISTER,
    tags=TAGS,
    summary="Cancel a server: it finishes its calls; the record stays, and can be recovered",
    status_code=200,
)
async def delete_server(request: _Request, server_id: Id) -> Server:
    ended = await services_of(request).servers.cancel(identity_of(request), server_id)
    return shown(ended, await dates_of(request))


@patch(
    "/servers/{server_id:int}/activate",
    opt=_ADMINISTER,
    tags=TAGS,
    summary="Recover a cancelled server that a person enrolled",
)
async def activate_server(request: _Request, server_id: Id) -> Server:
    """409 where a provider made it: its machine is gone."""
    back = await services_of(request).servers.recover(identity_of(request), server_id)
    return shown(back, await dates_of(request))


ROUTES: list[Any] = [list_servers, show_server, change_server, delete_server, activate_server]
