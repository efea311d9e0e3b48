"""Call detail records: listed, filtered, grouped, labelled."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.answers import utc
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields, read_objects
from callwright.control.api.openapi import body_of, list_body_of, text
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, listed, single, with_id
from callwright.control.api.telephony.including import add_users, record_of, several
from callwright.control.cdrs.model import CDRS, CdrNote
from callwright.control.collections.reading import read_ids

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_ADMINISTER: dict[str, Any] = {"right": Right.ADMINISTER}
_MAY_CHANGE: dict[str, Any] = {
    "labels": {"type": "array", "items": {"type": "string"}},
    "metadata": {"type": "object"},
}
_CHANGE, _CHANGES = body_of(_MAY_CHANGE), list_body_of(_MAY_CHANGE)
_NOTE = body_of({"text": text("")}, required=("text",))
_USERS = ("user_id", "src_id", "dst_id")


@get("/cdrs", opt=_READ | {"lists": CDRS})
async def list_cdrs(request: _Request) -> dict[str, Any]:
    """Those of one's own legs; administrators see all. `include=users`: who called and who was called."""
    query = asked(request, CDRS)
    found = await services_of(request).cdrs.rows(identity_of(request), query)
    answer = listed(CDRS, query, found)
    if "users" in query.include:
        await add_users(request, query, found.rows, answer["data"], _USERS)
    return answer


@get("/cdrs/{cdr_id:int}", opt=_READ | {"shows": CDRS})
async def get_cdr(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    row = await services_of(request).cdrs.get(identity_of(request), cdr_id)
    return await record_of(request, CDRS, row, _USERS)


@patch("/cdrs/{cdr_id:int}", opt=_READ | {"shows": CDRS, "body": _CHANGE})
async def change_cdr(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    """`labels` and `metadata`."""
    asked(request, CDRS)  # what is wrong with it is said before anything is changed
    fields = await read_fields(request)
    (row,) = await services_of(request).cdrs.change(identity_of(request), [(cdr_id, fields)])
    return await record_of(request, CDRS, row, _USERS)


@patch("/cdrs", opt=_READ | {"body": _CHANGES})
async def change_cdrs(request: _Request) -> dict[str, Any]:
    """A list of objects with an `id` each: all of them are changed, or none."""
    query = asked(request, CDRS)
    changes = [with_id(fields) for fields in await read_objects(request)]
    rows = await services_of(request).cdrs.change(identity_of(request), changes)
    return {"data": await several(request, CDRS, query, rows, _USERS), "total": len(rows)}


@delete("/cdrs/{which:str}", opt=_ADMINISTER, status_code=204)
async def delete_cdrs(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    await services_of(request).cdrs.delete(identity_of(request), read_ids(which))


@get("/cdrs/{cdr_id:int}/notes", opt=_READ)
async def list_notes(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    notes = await services_of(request).cdrs.notes(identity_of(request), cdr_id)
    return {"data": [_note(one) for one in notes], "total": len(notes)}


@post(
    "/cdrs/{cdr_id:int}/notes",
    opt=_READ | {"body": _NOTE},
    status_code=201,
)
async def add_note(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    """`text`; everybody who sees the record sees its notes."""
    fields = await read_fields(request)
    take.only(fields, ("text",))
    written = take.text(fields, "text", longest=4_000)
    note = await services_of(request).cdrs.add_note(identity_of(request), cdr_id, written)
    return single(_note(note))


@delete("/cdrs/{cdr_id:int}/notes/{note_id:int}", opt=_READ, status_code=204)
async def delete_note(request: _Request, cdr_id: FromPath[int], note_id: FromPath[int]) -> None:
    """One's own; administrators anybody's."""
    await services_of(request).cdrs.delete_note(identity_of(request), cdr_id, note_id)


def _note(note: CdrNote) -> dict[str, Any]:
    return msgspec.structs.asdict(note) | {"created_at": utc(note.created_at)}


ROUTES: list[Any] = [
    list_cdrs,
    get_cdr,
    change_cdr,
    change_cdrs,
    delete_cdrs,
    list_notes,
    add_note,
    delete_note,
]
