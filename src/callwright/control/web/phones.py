"""Users of the PBX and their phones: lines, what to type into a phone, and where calls go instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control import switchboard
from callwright.control.accounts.model import TELEPHONY_IDS, Right
from callwright.control.api.telephony.users import addresses
from callwright.control.collections.model import MOST_ROWS, Compare, Every, Operator, Query, Some, Sort
from callwright.control.collections.patterns import literal
from callwright.control.errors import Conflict, DomainError, Invalid, PbxAway
from callwright.control.lines.model import FORWARDS
from callwright.control.web import rendering
from callwright.control.web.board_figures import full_name
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

PAGE = 50
_SEARCHED = ("ext", "first_name", "last_name", "email")
_NEW = ("first_name", "last_name", "email", "ext")
#: What the form of a line has; those of `_RULED` are an administrator's.
_OWN = (*FORWARDS, "forward_after")
_RULED = ("first_name", "last_name", "email", "ext", "caller_id_name", "status", "sip_password")
_KEPT_WHEN_EMPTY = ("sip_password", "forward_after", "first_name", "email", "status")
#: A forwarding in words, as the list says it.
FORWARD_WORDS: Mapping[str, str] = {
    "forward_always": "always",
    "forward_busy": "when busy",
    "forward_no_answer": "without an answer",
    "forward_unreachable": "when not reachable",
}


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    async def listed(
        request: WebRequest,
        visitor: Visitor,
        refusal: DomainError | None = None,
        fields: dict[str, str] | None = None,
    ) -> Response[bytes]:
        q, asked = request.query_params.get("q", "").strip()[:100], request.query_params.get("page", "1")
        page = int(asked) if asked.isascii() and asked.isdigit() and 0 < len(asked) < 9 else 1
        everybody, pattern = bool(request.query_params.get("all")), f"%{literal(q)}%"
        named = Some(tuple(Compare(name, Operator.LIKE, pattern) for name in _SEARCHED))
        with_line = Compare("ext", Operator.NE, None)
        where = Every((*([named] if q else []), *([] if everybody else [with_line])))
        found = await services.lines.rows(visitor.identity, Query(where, Sort("ext"), max(page, 1), PAGE))
        reached, away = await _reached(pages, visitor)
        return await pages.page(
            request,
            visitor,
            "phones.html",
            "Users and phones",
            status=_status(refusal),
            people=found.rows,
            total=found.total,
            reached=reached,
            away=away,
            sees_all=visitor.can(Right.ADMINISTER),
            own=TELEPHONY_IDS + visitor.identity.user_id,
            forward_words=FORWARD_WORDS,
            full_name=full_name,
            q=q,
            everybody=everybody,
            other=_address(q, 1, not everybody),
            newer=_address(q, page - 1, everybody) if page > 1 else None,
            older=_address(q, page + 1, everybody) if page * PAGE < found.total else None,
            refusal=refusal,
            fields=fields or {},
        )

    @get("/phones")
    async def phones(request: WebRequest) -> Response[bytes]:
        return await listed(request, await pages.visitor(request))

    @post("/phones", status_code=303)
    async def add(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        given = {name: fields.get(name, "").strip() for name in _NEW}
        try:
            row = await services.lines.create(visitor.identity, {k: v for k, v in given.items() if v})
        except (Invalid, Conflict) as error:
            return await listed(request, visitor, error, given)
        return go(f"/phones/{row['id']}", "added")

    async def one(
        request: WebRequest,
        visitor: Visitor,
        user_id: int,
        refusal: DomainError | None = None,
        fields: dict[str, str] | None = None,
    ) -> Response[bytes]:
        row = await services.lines.get(visitor.identity, user_id)
        rules, own = visitor.can(Right.ADMINISTER), user_id == TELEPHONY_IDS + visitor.identity.user_id
        settings, contacts, away = None, [], None
        if "sip_password" in row and row["ext"] is not None:
            where = addresses(request)
            settings = {**where, "uri": _uri(row, where)}
            try:
                query = Query(Compare("ext", Operator.EQ, str(row["ext"])), limit=MOST_ROWS)
                contacts = (await switchboard.phones(services, visitor.identity, query)).rows
            except PbxAway as error:
                away = error
        return await pages.page(
            request,
            visitor,
            "phone.html",
            "Users and phones",
            status=_status(refusal),
            row=row,
            name=full_name(row) or row["username"],
            text=_texts(row) | {k: v for k, v in (fields or {}).items() if k != "sip_password"},
            settings=settings,
            qr=rendering.qr(settings["uri"], "SIP account as a QR code")
            if settings and settings["uri"]
            else "",
            contacts=contacts,
            away=away,
            rules=rules,
            may_change=rules or own,
            own=own,
            forward_words=FORWARD_WORDS,
            refusal=refusal,
            wrong_field=_wrong(refusal),
        )

    @get("/phones/{user_id:int}")
    async def phone(request: WebRequest, user_id: FromPath[int]) -> Response[bytes]:
        return await one(request, await pages.visitor(request), user_id)

    @post("/phones/{user_id:int}", status_code=303)
    async def change(request: WebRequest, user_id: FromPath[int]) -> Response[Any]:
        """The fields that the form had; of the line or of the user."""
        visitor = await pages.visitor(request)
        fields = {name: text.strip() for name, text in (await pages.form(request, visitor)).items()}
        given: dict[str, Any] = {
            name: fields[name]
            for name in (*_OWN, *_RULED)
            if name in fields and (fields[name] or name not in _KEPT_WHEN_EMPTY)
        }
        if given.get("ext") == "":  # the line goes, and what belonged to it
            for name in ("caller_id_name", "status", "sip_password"):
                given.pop(name, None)
        if "forwarding" in fields:  # a box that is not ticked is not sent
            given["dnd"] = "dnd" in fields
        if "services" in fields and given.get("ext") != "":
            given |= {name: name in fields for name in ("record", "voicemail")}
        try:
            await services.lines.change(visitor.identity, [(user_id, given)])
        except (Invalid, Conflict) as error:
            return await one(request, visitor, user_id, error, fields)
        return go(f"/phones/{user_id}", "changed")

    @post("/phones/{user_id:int}/delete", status_code=303)
    async def delete(request: WebRequest, user_id: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        try:
            await services.lines.delete(visitor.identity, [user_id])
        except (Invalid, Conflict) as error:
            return await one(request, visitor, user_id, error)
        return go("/phones", "removed")

    return [phones, add, phone, change, delete]


# -- inside


def _address(q: str, page: int, everybody: bool) -> str:
    asked = {"q": q, "all": "1" if everybody else "", "page": str(page) if page > 1 else ""}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/phones?{query}" if query else "/phones"


def _status(refusal: DomainError | None) -> int:
    return 200 if refusal is None else 409 if isinstance(refusal, Conflict) else 422


def _wrong(refusal: DomainError | None) -> str:
    """The field that a refusal is about."""
    if isinstance(refusal, Invalid):
        return refusal.field or str(refusal.errors[0].get("field") or "")
    return ""


async def _reached(pages: Pages, visitor: Visitor) -> tuple[dict[str, int], PbxAway | None]:
    """How many phones each extension has, as far as the visitor may know; or that the PBX is away."""
    try:
        query = Query(limit=MOST_ROWS, group_by="ext")
        found = await switchboard.phones(pages.services, visitor.identity, query)
    except PbxAway as error:
        return {}, error
    return {str(row["ext"]): int(str(row["count"])) for row in found.rows}, None


def _uri(row: Mapping[str, Any], where: Mapping[str, str | None]) -> str:
    """The account as a SIP URI with its password (RFC 3261 section 19.1.1), over the first transport;
    empty where the PBX does not listen or the password cannot be opened."""
    for transport in ("udp", "tcp", "tls"):
        place = where.get(transport)
        if place and row["sip_password"]:
            secret = quote(str(row["sip_password"]), safe="-_.!~*'()&=+$,")
            return f"sip:{row['ext']}:{secret}@{place};transport={transport}"
    return ""


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """As the forms have them."""
    names = (*_OWN, *_RULED)
    return {name: "" if row.get(name) is None else str(row[name]) for name in names if name != "sip_password"}
