"""Texts to phones of the PBX."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post
from litestar.params import FromPath

from callwright.control import switchboard
from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, listed, single
from callwright.control.api.telephony.including import record_of
from callwright.control.collections.reading import read_ids
from callwright.control.texts.model import LONGEST, SMS

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_CALL: dict[str, Any] = {"right": Right.CALL}
_SMS = body_of(
    {"to": text("An extension."), "text": text(f"At most {LONGEST} octets of UTF-8.")},
    required=("to", "text"),
)


@get("/sms", opt=_READ | {"lists": SMS})
async def list_sms(request: _Request) -> dict[str, Any]:
    """Those that one has sent; administrators see all."""
    query = asked(request, SMS)
    return listed(SMS, query, await services_of(request).texts.rows(identity_of(request), query))


@post("/sms", opt=_CALL | {"shows": SMS, "body": _SMS}, status_code=201)
async def send_sms(request: _Request) -> dict[str, Any]:
    """Sends a SIP MESSAGE (RFC 3428) to the phones of an extension, and waits four seconds for an answer.
    `status` says what became of it: `delivered`, `failed` or `unconfirmed`, and `info` why. 412 for who has
    no extension."""
    fields = await read_fields(request)
    take.only(fields, ("to", "text"))
    to, written = take.text(fields, "to", longest=32), take.text(fields, "text", longest=LONGEST)
    return single(dated(SMS, await switchboard.text(services_of(request), identity_of(request), to, written)))


@get("/sms/{sms_id:int}", opt=_READ | {"shows": SMS})
async def get_sms(request: _Request, sms_id: FromPath[int]) -> dict[str, Any]:
    return await record_of(request, SMS, await services_of(request).texts.get(identity_of(request), sms_id))


@delete("/sms/{which:str}", opt=_READ, status_code=204)
async def delete_sms(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    await services_of(request).texts.delete(identity_of(request), read_ids(which))


ROUTES: list[Any] = [list_sms, send_sms, get_sms, delete_sms]
