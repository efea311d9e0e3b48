"""Voice messages of users, and their audio."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, patch
from litestar.params import FromPath

from callwright.audio.mp3 import MEDIA_TYPE
from callwright.control import switchboard
from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields, read_objects
from callwright.control.api.files import octets_answer
from callwright.control.api.openapi import body_of
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, listed, single
from callwright.control.api.telephony.including import record_of
from callwright.control.voicemail.model import VOICEMESSAGES
from callwright.pbx.messages import VoiceMessage

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_HEARD: dict[str, Any] = {"heard": {"type": "boolean"}}
_CHANGE = body_of(_HEARD, required=("heard",))
_AUDIO = ".mp3"
_LONGEST = 64  # characters of an id


@get("/voicemessages", opt=_READ | {"lists": VOICEMESSAGES})
async def list_voicemessages(request: _Request) -> dict[str, Any]:
    """One's own; administrators see all."""
    query = asked(request, VOICEMESSAGES)
    found = await services_of(request).voicemail.rows(identity_of(request), query)
    return listed(VOICEMESSAGES, query, found)


@get("/voicemessages/{name:str}", opt=_READ | {"shows": VOICEMESSAGES})
async def get_voicemessage(request: _Request, name: FromPath[str]) -> Response[Any]:
    """With `.mp3` after the id its audio, as audio/mpeg, of which Range asks for a part."""
    voicemail, identity = services_of(request).voicemail, identity_of(request)
    if name.endswith(_AUDIO):
        octets = await voicemail.audio(identity, name.removesuffix(_AUDIO)[:_LONGEST])
        return octets_answer(request, name, MEDIA_TYPE, octets)
    return Response(await record_of(request, VOICEMESSAGES, await voicemail.get(identity, name[:_LONGEST])))


@patch("/voicemessages/{name:str}", opt=_READ | {"shows": VOICEMESSAGES, "body": _CHANGE})
async def change_voicemessage(request: _Request, name: FromPath[str]) -> dict[str, Any]:
    """`heard`; the phones of the user are told how many messages are new."""
    rows = await _marked(request, [(name[:_LONGEST], await read_fields(request))])
    return single(rows[0])


@patch("/voicemessages", opt=_READ)
async def change_voicemessages(request: _Request) -> dict[str, Any]:
    """A list of objects with an `id` each: all of them are changed, or none."""
    changes = [
        (take.text(fields, "id", longest=_LONGEST), {key: fields[key] for key in fields if key != "id"})
        for fields in await read_objects(request)
    ]
    rows = await _marked(request, changes)
    return {"data": rows, "total": len(rows)}


@delete("/voicemessages/{which:str}", opt=_READ, status_code=204)
async def delete_voicemessages(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    names = list(dict.fromkeys(which.split(",")))[:1_000]
    gone = await services_of(request).voicemail.delete(identity_of(request), names)
    await _tell(request, gone)


async def _marked(request: _Request, changes: list[tuple[str, Fields]]) -> list[dict[str, Any]]:
    services, identity = services_of(request), identity_of(request)
    wanted = []
    for name, fields in changes:
        take.only(fields, tuple(_HEARD))
        wanted.append((name, take.flag(fields, "heard")))
    marked = await services.voicemail.mark(identity, wanted)
    await _tell(request, marked)
    return [dated(VOICEMESSAGES, await services.voicemail.get(identity, one.id)) for one in marked]


async def _tell(request: _Request, messages: list[VoiceMessage]) -> None:
    for user in await services_of(request).voicemail.accounts(messages):
        await switchboard.mailbox_changed(services_of(request), user)


ROUTES: list[Any] = [
    list_voicemessages,
    get_voicemessage,
    change_voicemessage,
    change_voicemessages,
    delete_voicemessages,
]
