"""Users with their line of the PBX, and where the PBX is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields, read_objects
from callwright.control.api.links import links_of
from callwright.control.api.openapi import body_of, list_body_of, text
from callwright.control.api.request import services_of, settings_of
from callwright.control.api.sip_socket import PATH as SOCKET_PATH
from callwright.control.api.telephony.answers import asked, cut, dated, listed, single, with_id
from callwright.control.collections.reading import read_ids
from callwright.control.lines.model import FORWARDS, PEOPLE
from callwright.net.address import WILDCARDS

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_ADMINISTER: dict[str, Any] = {"right": Right.ADMINISTER}
_FIELDS = {
    **{name: text("") for name in ("first_name", "last_name", "email", "role", "time_zone", "status")},
    **{name: text("") for name in ("sip_password", "caller_id_name", *FORWARDS)},
    "ext": text("Extension."),
    "dnd": {"type": "boolean"},
    "record": {"type": "boolean"},
    "voicemail": {"type": "boolean"},
    "forward_after": {"type": "integer"},
}
_USER = body_of({**_FIELDS, "password": text("Without it the user cannot log in.")}, more=True)
_CHANGE = body_of(_FIELDS, more=True)
_SECRET = {"Cache-Control": "no-store"}  # it holds a SIP password


@get("/users", opt=_READ | {"lists": PEOPLE})
async def list_users(request: _Request) -> dict[str, Any]:
    """Everybody who can be called, and oneself; administrators see all users."""
    query = asked(request, PEOPLE)
    return listed(PEOPLE, query, await services_of(request).lines.rows(identity_of(request), query))


@post("/users", opt=_ADMINISTER | {"shows": PEOPLE, "body": _USER}, status_code=201)
async def create_user(request: _Request) -> Response[dict[str, Any]]:
    """With `ext` the user has a line: a phone can register at once, with `sip_password`."""
    fields = await read_fields(request)
    row = await services_of(request).lines.create(identity_of(request), fields)
    return Response(single(told(request, row)), status_code=201, headers=_SECRET)


@get("/users/{user_id:int}", opt=_READ | {"shows": PEOPLE})
async def get_user(request: _Request, user_id: FromPath[int]) -> Response[dict[str, Any]]:
    row = await services_of(request).lines.get(identity_of(request), user_id)
    return Response(_one(request, row), headers=_SECRET)


@patch("/users/{user_id:int}", opt=_READ | {"shows": PEOPLE, "body": _CHANGE})
async def change_user(request: _Request, user_id: FromPath[int]) -> Response[dict[str, Any]]:
    """Users change their own forwarding and `dnd`; administrators everything of everybody."""
    asked(request, PEOPLE)  # what is wrong with it is said before anything is changed
    fields = await read_fields(request)
    rows = await services_of(request).lines.change(identity_of(request), [(user_id, fields)])
    return Response(_one(request, rows[0]), headers=_SECRET)


@patch("/users", opt=_READ | {"body": list_body_of(_FIELDS)})
async def change_users(request: _Request) -> Response[dict[str, Any]]:
    """A list of objects with an `id` each: all of them are changed, or none."""
    query = asked(request, PEOPLE)
    changes = [with_id(fields) for fields in await read_objects(request)]
    rows = await services_of(request).lines.change(identity_of(request), changes)
    data = [cut(PEOPLE, query, told(request, row)) for row in rows]
    return Response({"data": data, "total": len(data)}, headers=_SECRET)


@delete("/users/{which:str}", opt=_ADMINISTER, status_code=204)
async def delete_users(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    await services_of(request).lines.delete(identity_of(request), read_ids(which))


@get("/pbx", opt=_READ)
async def pbx(request: _Request) -> dict[str, Any]:
    """Where phones register, as it can be dialled from where the request came."""
    return single(addresses(request))


def addresses(request: _Request) -> dict[str, str | None]:
    """`sip_domain`, and host and port of each transport; None where the PBX does not listen.
    `wss`: the URL by which browsers reach it through this port."""
    place = settings_of(request).pbx
    if place is None:
        return dict.fromkeys(("sip_domain", "udp", "tcp", "tls", "wss"))
    host = domain(request)
    ports = {"udp": place.udp, "tcp": place.tcp, "tls": place.tls}
    named = f"[{host}]" if host is not None and ":" in host else host
    where = {name: None if port is None else f"{named}:{port}" for name, port in ports.items()}
    socket = f"{_socket_base(links_of(request).base)}{SOCKET_PATH}"
    return {"sip_domain": host, **where, "wss": socket if settings_of(request).sip_socket else None}


def _socket_base(base: str) -> str:
    """`wss://`, or `ws://` where the platform itself is without TLS."""
    return f"ws{base.removeprefix('http')}".rstrip("/")


def domain(request: _Request) -> str | None:
    """The host of SIP addresses: that of the PBX, or, where it listens on every address of this machine, the
    one by which the client reached us. None without a PBX."""
    place = settings_of(request).pbx
    if place is None or place.host not in WILDCARDS:
        return None if place is None else place.host
    return urlsplit(links_of(request).base).hostname


def told(request: _Request, row: dict[str, object]) -> dict[str, object]:
    """A user with the domain for their phones, which those without a line have not."""
    found = dated(PEOPLE, row)
    if "sip_password" in found:
        found["sip_domain"] = domain(request) if found["ext"] is not None else None
    return found


def _one(request: _Request, row: dict[str, object]) -> dict[str, Any]:
    """The user with the fields that were asked for."""
    return single(cut(PEOPLE, asked(request, PEOPLE), told(request, row)))


ROUTES: list[Any] = [list_users, create_user, get_user, change_user, change_users, delete_users, pbx]
