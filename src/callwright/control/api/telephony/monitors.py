"""Recordings of calls, and their audio."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.files import file_answer
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, listed
from callwright.control.api.telephony.including import record_of
from callwright.control.collections.reading import read_ids
from callwright.control.errors import NotFound
from callwright.control.recordings.model import MONITORS

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_AUDIO = ".mp3"


@get("/monitors", opt=_READ | {"lists": MONITORS})
async def list_recordings(request: _Request) -> dict[str, Any]:
    """Those of calls that one was in; administrators see all."""
    query = asked(request, MONITORS)
    found = await services_of(request).recordings.rows(identity_of(request), query)
    return listed(MONITORS, query, found)


@get("/monitors/{name:str}", opt=_READ | {"shows": MONITORS})
async def get_recording(request: _Request, name: FromPath[str]) -> Response[Any]:
    """With `.mp3` after the id its audio, as audio/mpeg, of which Range asks for a part: the caller is left,
    the callee right."""
    services, identity = services_of(request), identity_of(request)
    number = name.removesuffix(_AUDIO)
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise NotFound("recording", name[:64])
    if name.endswith(_AUDIO):
        file = await services.recordings.file(identity, int(number))
        return await file_answer(request, services.evidence, file, attachment=False)
    return Response(await record_of(request, MONITORS, await services.recordings.get(identity, int(number))))


@delete("/monitors/{which:str}", opt={"right": Right.ADMINISTER}, status_code=204)
async def delete_recordings(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none, with their audio."""
    await services_of(request).recordings.delete(identity_of(request), read_ids(which))


ROUTES: list[Any] = [list_recordings, get_recording, delete_recordings]
