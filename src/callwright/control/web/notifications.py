"""Channels that are told of incidents and runs, and the log of their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.errors import DomainError, Invalid
from callwright.control.notifications.model import EVENTS, Channel, Kind, State
from callwright.control.notifications.service import DEFAULT_EVENTS
from callwright.control.web.members import kept
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_PAGE = 50
_LOOKS = {
    State.WAITING: ("waiting", "Waiting"),
    State.RETRYING: ("running", "Retrying"),
    State.DELIVERED: ("passed", "Delivered"),
    State.GIVEN_UP: ("failed", "Given up"),
}


def routes(pages: Pages) -> list[Any]:
    service = pages.services.notifications

    async def shown(
        request: WebRequest,
        visitor: Visitor,
        fields: Mapping[str, str] | None = None,
        refusal: DomainError | None = None,
        secret: tuple[str, str] | None = None,
    ) -> Response[bytes]:
        """``secret``: name of a channel, and its secret, once."""
        channels = await service.channels(visitor.identity)
        names = {one.id: one.name for one in await pages.services.projects.list(visitor.identity)}
        state, before = request.query_params.get("state", ""), request.query_params.get("before", "")
        which = request.query_params.get("channel", "")
        chosen = [one for one in channels if not which or str(one.id) == which]
        older_than = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
        known = state if state in list(State) else None
        found = await service.messages(chosen, state=known, before=older_than, limit=_PAGE + 1)
        rows = found[:_PAGE]
        used = {"state": known or "", "channel": which}
        used = {name: value for name, value in used.items() if value}
        older = urlencode({**used, "before": rows[-1].id}) if len(found) > _PAGE else ""
        return await pages.page(
            request,
            visitor,
            "notifications.html",
            "Notifications",
            status=422 if refusal else 200,
            channels=[_row(one, visitor) for one in channels],
            waiting=await service.open_counts(),
            projects=names,
            editable=[(name, name) for id_, name in names.items() if visitor.can_in(Right.EDIT, id_)],
            deliveries=rows,
            channel_names={one.id: one.name for one in channels},
            changeable={one.id for one in channels if _may_change(one, visitor)},
            looks=_LOOKS,
            states=list(State),
            state=known or "",
            which=which,
            older=f"/notifications?{older}#deliveries" if older else None,
            newer=f"/notifications?{urlencode(used)}#deliveries" if older_than is not None else None,
            events=EVENTS,
            default_events=DEFAULT_EVENTS,
            fields=kept({name: text for name, text in (fields or {}).items() if name != "url"}),
            refusal=refusal,
            secret=secret,
        )

    @get("/notifications")
    async def listed(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/notifications", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        """The secret of a webhook is on the page that answers, and never again."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        kind = fields.get("kind", Kind.WEBHOOK)
        try:
            made, secret = await service.create(
                visitor.identity, _values(fields), kind=kind, project=fields.get("project") or None
            )
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        if secret is None:
            return go("/notifications", "added")
        answer = await shown(request, visitor, secret=(made.name, secret))
        answer.status_code = 200
        return answer

    @post("/notifications/{channel_id:int}/{change:str}", status_code=303)
    async def change(request: WebRequest, channel_id: FromPath[int], change: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        identity = visitor.identity
        channel = await service.channel(identity, channel_id)
        try:
            match change:
                case "test":
                    await service.try_out(identity, channel)
                    return go("/notifications", "tried")
                case "pause" | "activate":
                    await service.change(identity, channel, {"active": change == "activate"})
                    return go("/notifications", "paused_channel" if change == "pause" else "activated")
                case "delete":
                    await service.remove(identity, channel)
                    return go("/notifications", "removed")
                case "again":
                    message = fields.get("message", "")
                    number = int(message) if message.isascii() and message.isdigit() else 0
                    await service.again(identity, channel, number)
                    return go("/notifications", "resent")
            raise Invalid(f"{change[:40]!r} is nothing that can be done to a channel.")
        except DomainError as error:
            return await shown(request, visitor, None, error)

    return [listed, create, change]


def _may_change(channel: Channel, visitor: Visitor) -> bool:
    return channel.project_id is not None and visitor.can_in(Right.EDIT, channel.project_id)


def _row(channel: Channel, visitor: Visitor) -> tuple[Channel, str, bool]:
    """With where it goes, as the visitor may see it, and whether they may change it."""
    may = _may_change(channel, visitor)
    where = channel.url or channel.service
    if channel.url and not may:
        where = f"{urlsplit(channel.url).scheme}://{urlsplit(channel.url).hostname}/…"
    return channel, where, may


def _values(fields: Mapping[str, str]) -> dict[str, Any]:
    """Of the form. Raises Invalid."""
    after = fields.get("after", "").strip() or "3"
    if not after.isascii() or not after.isdigit() or len(after) > 4:
        raise Invalid(f"{after[:40]!r} is no number of runs.", field="after")
    tests = [name.strip() for name in fields.get("tests", "").split(",")]
    return {
        "name": fields.get("name", "").strip(),
        "url": fields.get("url", "").strip(),
        "events": tuple(event for event in EVENTS if fields.get(f"event.{event}")),
        "tests": tuple(name for name in tests if name),
        "after": int(after),
    }
