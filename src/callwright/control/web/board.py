"""The board: calls that are up, phones that can be reached, and what is done about a call."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control import switchboard
from callwright.control.accounts.model import TELEPHONY_IDS, Right
from callwright.control.collections.model import MOST_ROWS, Compare, Operator, Query, Sort
from callwright.control.errors import Conflict, DomainError, Invalid, NotFound, NotRegistered, PbxAway
from callwright.control.web import board_figures as figures
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_WITH_LINE = Query(Compare("ext", Operator.NE, None), Sort("ext"), limit=MOST_ROWS)
_REFUSED = (Invalid, Conflict, NotRegistered, NotFound, PbxAway)
_TOASTS = {"transfer": "transferred", "end": "hungup", "record": "recording", "unrecord": "unrecorded"}
_STATUSES = {Invalid: 422, Conflict: 409, NotRegistered: 412, NotFound: 404, PbxAway: 503}


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    async def shown(
        request: WebRequest,
        visitor: Visitor,
        refusal: DomainError | None = None,
        fields: dict[str, str] | None = None,
    ) -> Response[bytes]:
        people = await _people(pages, visitor)
        board, away = None, None
        try:
            board = await _board(pages, visitor, people)
        except PbxAway as error:
            away = error
        if isinstance(refusal, NotFound):  # its own sentence names an id that nobody has seen
            refusal = DomainError("The call is over already.", "Nothing was done.")
        return await pages.page(
            request,
            visitor,
            "board.html",
            "Live calls",
            status=_STATUSES.get(type(refusal), 404) if refusal is not None else 200,
            board=board,
            away=away,
            has_pbx=pages.settings.pbx is not None,
            sees_all=visitor.can(Right.ADMINISTER),
            people=people,
            own=TELEPHONY_IDS + visitor.identity.user_id,
            refusal=refusal,
            fields=fields or {},
        )

    @get("/board")
    async def live(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/board/calls", status_code=303)
    async def place(request: WebRequest) -> Response[Any]:
        """Rings one's own phone, then dials."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        visitor.need(Right.CALL)
        whose = fields.get("from", "")
        user_id = int(whose) if whose.isascii() and whose.isdigit() and len(whose) < 16 else None
        try:
            await switchboard.place(services, visitor.identity, fields.get("to", "").strip(), user_id)
        except _REFUSED as error:
            return await shown(request, visitor, error, fields)
        return go("/board", "ringing")

    @post("/board/calls/{call:str}/{verb:str}", status_code=303)
    async def change(request: WebRequest, call: FromPath[str], verb: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        visitor.need(Right.CALL)
        try:
            match verb:
                case "transfer":
                    await switchboard.move(services, visitor.identity, call, fields.get("dst", "").strip())
                case "record" | "unrecord":
                    await switchboard.record(services, visitor.identity, call, verb == "record")
                case "end":
                    await switchboard.end(services, visitor.identity, [call])
                case _:
                    raise Invalid(f"{verb[:40]!r} is nothing that can be done to a call.")
        except _REFUSED as error:
            return await shown(request, visitor, error)
        return go("/board", _TOASTS[verb])

    return [live, place, change]


async def _people(pages: Pages, visitor: Visitor) -> list[dict[str, object]]:
    """Who has a line, of those whose phones the visitor may see."""
    rows = (await pages.services.lines.rows(visitor.identity, _WITH_LINE)).rows
    own = TELEPHONY_IDS + visitor.identity.user_id
    return [row for row in rows if visitor.can(Right.ADMINISTER) or row["id"] == own]


async def _board(pages: Pages, visitor: Visitor, people: list[dict[str, object]]) -> figures.Board:
    """Raises PbxAway."""
    everything = Query(limit=MOST_ROWS)
    calls, phones = await asyncio.gather(
        switchboard.calls(pages.services, visitor.identity, everything),
        switchboard.phones(pages.services, visitor.identity, Query(sort=Sort("ext"), limit=MOST_ROWS)),
    )
    return figures.board(calls.rows, phones.rows, people, own=not visitor.can(Right.ADMINISTER))
