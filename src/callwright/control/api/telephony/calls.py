"""Calls that are up: listed, begun, ended; and the phones that are registered."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control import switchboard
from callwright.control.accounts.model import Right, among
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, listed, single
from callwright.control.api.telephony.including import record_of
from callwright.control.errors import Invalid
from callwright.control.switchboard import CALLS, PHONES

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_CALL: dict[str, Any] = {"right": Right.CALL}
_PLACE = body_of(
    {
        "to": text("The number to dial."),
        "from": {"type": "integer", "description": "Id of the user whose phones ring; by default one's own."},
        "caller_id": text("Not shown to extensions."),
    },
    required=("to",),
)
_JOIN = body_of(
    {"from": text("The number that is called first."), "to": text("The number that it is connected to.")},
    required=("from", "to"),
)
_CHANGE = body_of(
    {
        "dst": text("Transfers to this number."),
        "state": text("CONNECTED answers."),
        "record": {"type": "boolean", "description": "Records the call from now on, or no longer."},
    }
)


@get("/calls", opt=_READ | {"lists": CALLS})
async def list_calls(request: _Request) -> dict[str, Any]:
    """Those that one is in; administrators see all."""
    query = asked(request, CALLS)
    return listed(CALLS, query, await switchboard.calls(services_of(request), identity_of(request), query))


@get("/calls/{call:str}", opt=_READ | {"shows": CALLS})
async def get_call(request: _Request, call: FromPath[str]) -> dict[str, Any]:
    return await record_of(
        request, CALLS, await switchboard.call(services_of(request), identity_of(request), call)
    )


@post("/calls", opt=_CALL | {"shows": CALLS, "body": _PLACE}, status_code=201)
async def place_call(request: _Request) -> dict[str, Any]:
    """Rings the phones of the user, then dials `to`. 412 at once when none is registered. `from`: the id of
    another user, for administrators. `caller_id` is not shown to extensions, and is ignored."""
    fields = await read_fields(request)
    take.only(fields, ("to", "from", "caller_id"))
    to, user_id = take.text(fields, "to", longest=64), take.whole(fields, "from")
    return single(await switchboard.place(services_of(request), identity_of(request), to, user_id))


@post("/webcalls", opt=_CALL | {"shows": CALLS, "body": _JOIN}, status_code=201)
async def join_numbers(request: _Request) -> dict[str, Any]:
    """Calls `from`, and connects who answers there to `to`: two parties outside, or extensions. Both are
    called by the rights of one's own extension; 412 without one, or when nobody can be reached at `from`."""
    fields = await read_fields(request)
    take.only(fields, ("from", "to"))
    first, to = take.text(fields, "from", longest=64), take.text(fields, "to", longest=64)
    return single(await switchboard.join(services_of(request), identity_of(request), first, to))


@patch("/calls/{call:str}", opt=_CALL | {"shows": CALLS, "body": _CHANGE})
async def change_call(request: _Request, call: FromPath[str]) -> dict[str, Any]:
    """`dst` transfers: your peer goes to that number, and you get it back when nobody answers there. `state`
    CONNECTED answers the call that your phone rings for; 412 when the phone cannot be told to. `record`
    true records it from now on, once both sides have heard so, and false no longer: each time is a
    recording of its own in `/monitors` when the call is over."""
    fields = await read_fields(request)
    take.only(fields, ("dst", "state", "record"))
    if len(fields) > 1:
        raise Invalid("Give one of dst, state and record.", field=next(iter(fields)))
    if "record" in fields:
        on = take.flag(fields, "record")
        return single(await switchboard.record(services_of(request), identity_of(request), call, on))
    if "state" in fields:
        among(take.text(fields, "state", longest=32), ["CONNECTED"], "state")
        return single(await switchboard.answer(services_of(request), identity_of(request), call))
    dst = take.text(fields, "dst", longest=64)
    return single(await switchboard.move(services_of(request), identity_of(request), call, dst))


@delete("/calls/{which:str}", opt=_CALL, status_code=204)
async def end_calls(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas."""
    names = list(dict.fromkeys(which.split(",")))[:1_000]
    await switchboard.end(services_of(request), identity_of(request), names)


@get("/phones", opt=_READ | {"lists": PHONES})
async def list_phones(request: _Request) -> dict[str, Any]:
    """Contacts that are registered: one's own; administrators see all."""
    query = asked(request, PHONES)
    return listed(PHONES, query, await switchboard.phones(services_of(request), identity_of(request), query))


ROUTES: list[Any] = [list_calls, get_call, place_call, join_numbers, change_call, end_calls, list_phones]
