"""Call detail records: listed, filtered, grouped, labelled."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields, read_objects
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, listed, single, with_id
from callwright.control.api.telephony.including import add_users
from callwright.control.cdrs.model import CDRS
from callwright.control.collections.reading import read_ids

_Request = Request[Any, Any, Any]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_USERS = ("user_id", "src_id", "dst_id")


@get("/cdrs", opt=_READ)
async def list_cdrs(request: _Request) -> dict[str, Any]:
    """Those of one's own legs; administrators see all. `include=users`: who called and who was called."""
    query = asked(request, CDRS)
    found = await services_of(request).cdrs.rows(identity_of(request), query)
    answer = listed(CDRS, query, found)
    if "users" in query.include:
        await add_users(request, query, found.rows, answer["data"], _USERS)
    return answer


@get("/cdrs/{cdr_id:int}", opt=_READ)
async def get_cdr(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    return single(dated(CDRS, await services_of(request).cdrs.get(identity_of(request), cdr_id)))


@patch("/cdrs/{cdr_id:int}", opt=_READ)
async def change_cdr(request: _Request, cdr_id: FromPath[int]) -> dict[str, Any]:
    """`labels` and `metadata`."""
    fields = await read_fields(request)
    (row,) = await services_of(request).cdrs.change(identity_of(request), [(cdr_id, fields)])
    return single(dated(CDRS, row))


@patch("/cdrs", opt=_READ)
async def change_cdrs(request: _Request) -> dict[str, Any]:
    """A list of objects with an `id` each: all of them are changed, or none."""
    changes = [with_id(fields) for fields in await read_objects(request)]
    rows = await services_of(request).cdrs.change(identity_of(request), changes)
    return {"data": [dated(CDRS, row) for row in rows], "total": len(rows)}


@delete("/cdrs/{which:str}", opt=_ADMINISTER, status_code=204)
async def delete_cdrs(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    await services_of(request).cdrs.delete(identity_of(request), read_ids(which))


ROUTES: list[Any] = [list_cdrs, get_cdr, change_cdr, change_cdrs, delete_cdrs]
