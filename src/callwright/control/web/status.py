"""Status pages: managed by people of a project, and open to all who have the link; badges as SVG."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.errors import Invalid, NotFound
from callwright.control.monitors.standing import Standing
from callwright.control.status_pages.model import Day, PublicEndpoint, StatusPage, View
from callwright.control.web import rendering
from callwright.control.web.badge import badge
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_PUBLIC = "public, max-age=30"


def routes(pages: Pages) -> list[Any]:
    status = pages.services.status_pages

    async def shown(
        request: WebRequest,
        visitor: Visitor,
        *,
        refusal: Invalid | None = None,
        fields: Mapping[str, str] | None = None,
        editing: int | None = None,
    ) -> Response[bytes]:
        """``editing``: the page whose form was refused; 0 that of a new one."""
        projects = [
            one
            for one in await pages.services.projects.list(visitor.identity)
            if visitor.can_in(Right.EDIT, one.id)
        ]
        endpoints = [
            one for one in await pages.services.monitors.endpoints(visitor.identity) if one.deleted_at is None
        ]
        rows = await status.pages(visitor.identity)
        return await pages.page(
            request,
            visitor,
            "status_pages.html",
            "Status pages",
            status=200 if refusal is None else 422,
            rows=[(one, f"{pages.base_url(request)}/status/{status.token_of(one)}") for one in rows],
            endpoints=endpoints,
            projects=projects,
            editable={one.id for one in projects},
            refusal=refusal,
            fields=fields or {},
            editing=editing,
            texts={one.id: _texts(one) for one in rows},
        )

    @get("/monitoring/status")
    async def listed(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/monitoring/status", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await status.create(
                visitor.identity,
                fields.get("name", ""),
                _ticked(fields),
                addresses="addresses" in fields,
                project=fields.get("project") or None,
            )
        except Invalid as error:
            return await shown(request, visitor, refusal=error, fields=fields, editing=0)
        return go("/monitoring/status", "added")

    @post("/monitoring/status/{number:int}", status_code=303)
    async def change(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await status.change(
                visitor.identity,
                number,
                name=fields.get("name", ""),
                endpoint_ids=_ticked(fields),
                addresses="addresses" in fields,
            )
        except Invalid as error:
            return await shown(request, visitor, refusal=error, fields=fields, editing=number)
        return go("/monitoring/status", "changed")

    @post("/monitoring/status/{number:int}/{verb:str}", status_code=303)
    async def act(request: WebRequest, number: FromPath[int], verb: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        if verb == "renew":
            await status.renew(visitor.identity, number)
            return go("/monitoring/status", "changed")
        if verb == "delete":
            await status.delete(visitor.identity, number)
            return go("/monitoring/status", "removed")
        raise NotFound("action", verb)

    # -- without an account

    async def view_of(token: str) -> View | None:
        try:
            return await status.view(await status.by_token(token))
        except NotFound:
            return None

    @get("/status/{token:str}")
    async def public(request: WebRequest, token: FromPath[str]) -> Response[bytes]:
        found = await view_of(token)
        if found is None:
            return _nothing()
        frame = pages.frame_of_strangers()
        return rendering.page(
            "status_public.html",
            {
                **frame,
                "view": found,
                "headline": headline(found),
                "days": {one.id: [day_says(day) for day in one.days] for one in found.endpoints},
            },
            framed=True,
        )

    @get("/status/{token:str}/badge.svg")
    async def whole(request: WebRequest, token: FromPath[str]) -> Response[bytes]:
        found = await view_of(token)
        if found is None:
            return _svg(request, badge("status", "unknown", None), status=404)
        return _svg(request, badge(found.name, str(found.standing), found.standing))

    @get("/status/{token:str}/{number:int}/badge.svg")
    async def single(request: WebRequest, token: FromPath[str], number: FromPath[int]) -> Response[bytes]:
        found = await view_of(token)
        one = next((one for one in found.endpoints if one.id == number), None) if found else None
        if one is None:
            return _svg(request, badge("status", "unknown", None), status=404)
        mos = "" if one.mos is None else f", MOS {one.mos:.1f}"
        return _svg(request, badge(one.name, f"{one.standing}{mos}", one.standing))

    return [listed, create, change, act, public, whole, single]


def headline(view: View) -> str:
    bad = [one.name for one in view.endpoints if one.standing is Standing.BAD]
    silent = [one.name for one in view.endpoints if one.standing is Standing.NO_DATA]
    if bad:
        return f"{_listed(bad)} {'is' if len(bad) == 1 else 'are'} not well."
    if silent:
        return f"No data of {_listed(silent)}." + (
            " All else is well." if len(silent) < len(view.endpoints) else ""
        )
    return "All is well." if view.endpoints else "This page shows nothing yet."


def _listed(names: list[str]) -> str:
    return rendering.listed(names) if len(names) < 4 else f"{len(names)} endpoints"


def day_says(one: Day) -> tuple[str, str]:
    """The look of its mark, and its words."""
    if not one.tested:
        return "nodata", f"{rendering.day(one.at)}: no data"
    share = 100 * one.answered / one.tested
    look = "good" if share >= 99.9 else "some" if share >= 95 else "bad"
    return look, f"{rendering.day(one.at)}: {share:.4g} % of {one.tested:,} tests answered"


def answered(one: PublicEndpoint) -> str:
    return "no data" if one.answered_pct is None else f"{one.answered_pct:.4g} %"


def _texts(page: StatusPage) -> dict[str, str]:
    fields = {"name": page.name} | {f"endpoint_{number}": "on" for number in page.endpoint_ids}
    return fields | ({"addresses": "on"} if page.addresses else {})


def _ticked(fields: Mapping[str, str]) -> list[int]:
    found = []
    for name in fields:
        number = name.removeprefix("endpoint_")
        if number != name and number.isascii() and number.isdigit() and len(number) < 16:
            found.append(int(number))
    return found


def _nothing() -> Response[bytes]:
    context = {"heading": "There is no such page", "remedy": "The link may have been renewed.", "home": False}
    return rendering.page("plain_problem.html", context, status=404)


def _svg(request: WebRequest, text: str, *, status: int = 200) -> Response[bytes]:
    octets = text.encode()
    headers = {
        "Cache-Control": _PUBLIC if status == 200 else "no-store",
        "ETag": f'"{hashlib.sha256(octets).hexdigest()[:20]}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    if status == 200 and request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers, media_type="image/svg+xml")
    return Response(octets, status_code=status, headers=headers, media_type="image/svg+xml")
