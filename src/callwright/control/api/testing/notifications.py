"""Channels that are told of incidents and runs, and what became of each message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import QueryParameter

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Identity, Right
from callwright.control.api import fields as take
from callwright.control.api.answers import Data, Deleted, utc, utc_or_none
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import unknown_value
from callwright.control.api.request import Id, MaybeId, MaybeWord, services_of
from callwright.control.errors import NotFound
from callwright.control.notifications import model
from callwright.control.notifications.model import EVENTS, Kind
from callwright.control.notifications.service import DEFAULT_EVENTS

_Request = Request[Any, Any, Any]
_TAGS = ["notifications"]
_READ, _EDIT = {"right": Right.READ}, {"right": Right.EDIT}
_PAGE, _MOST = 100, 1_000
_SECRET = {"Cache-Control": "no-store"}
_CHANGES: dict[str, Any] = {
    "name": text("What people call it."),
    "url": text(
        "Where messages go: of a webhook http:// or https://; of `apprise` the URL that Apprise has for the "
        "service, such as mailto://user:password@example.com, which is encrypted and never shown."
    ),
    "events": {
        "type": "array",
        "items": {"type": "string", "enum": list(EVENTS)},
        "description": f"What it is told. If absent: {', '.join(DEFAULT_EVENTS)}.",
    },
    "tests": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Only runs of these tests; empty: of all tests of the project.",
    },
    "after": {"type": "integer", "description": "Runs in a row, for run.failing: 2 to 50; 3 if absent."},
    "active": {"type": "boolean", "description": "false: paused."},
}
_CREATES = {
    "kind": text("webhook or apprise; webhook if absent.", enum=list(Kind)),
    **_CHANGES,
    "project": text("Where it belongs; the first where one may edit if absent."),
}

Limit = Annotated[int, QueryParameter(ge=1, le=_MOST)]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """`url`: of a webhook, whole for those who may change it. `service`: of Apprise. `waiting`: messages that
    wait. `secret`: of a new webhook, once."""

    id: int
    project_id: int | None
    name: str
    kind: str
    url: str | None
    service: str | None
    events: list[str]
    tests: list[str]
    after: int
    active: bool
    waiting: int
    created_at: str
    updated_at: str
    secret: str | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: waiting, retrying, delivered or given up. `webhook_id` is the same at each attempt. `status`:
    of the receiver's last answer; `reason`: why the last attempt failed."""

    id: int
    channel_id: int
    webhook_id: str
    event: str
    state: str
    attempts: int
    written_at: str
    tried_at: str | None
    next_at: str | None
    status: int | None
    reason: str | None
    payload: dict[str, Any]


def shown(
    identity: Identity, row: model.Channel, waiting: Mapping[int, int], secret: str | None = None
) -> Channel:
    whole = row.project_id is not None and may(identity, Right.EDIT, row.project_id)
    parts = urlsplit(row.url)
    origin = f"{parts.scheme}://{parts.hostname or ''}/…"
    return Channel(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        kind=row.kind,
        url=None if not row.url else row.url if whole else origin,
        service=row.service or None,
        events=list(row.events),
        tests=list(row.tests),
        after=row.after,
        active=bool(row.active),
        waiting=waiting.get(row.id, 0),
        created_at=utc(row.created_at),
        updated_at=utc(row.updated_at),
        secret=secret,
    )


def shown_message(row: model.Message) -> Delivery:
    return Delivery(
        id=row.id,
        channel_id=row.channel_id,
        webhook_id=row.uid,
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        written_at=utc(row.at),
        tried_at=utc_or_none(row.tried_at),
        next_at=utc(row.next_at) if row.state in model.OPEN else None,
        status=row.status,
        reason=row.reason or None,
        payload=msgspec.json.decode(row.body),
    )


@get("/notifications", opt=_READ, tags=_TAGS, summary="List channels")
async def list_channels(request: _Request) -> Data[list[Channel]]:
    service, identity = services_of(request).notifications, identity_of(request)
    waiting = await service.open_counts()
    return Data(data=[shown(identity, one, waiting) for one in await service.channels(identity)])


@post(
    "/notifications",
    opt={**_EDIT, "body": body_of(_CREATES, required=("name", "url"))},
    tags=_TAGS,
    summary="Make a channel",
    status_code=201,
)
async def create_channel(request: _Request) -> Response[Data[Channel]]:
    """The secret of a webhook is in this answer and in no other."""
    fields = await read_fields(request)
    take.only(fields, tuple(_CREATES))
    take.text(fields, "name", longest=200)
    take.text(fields, "url", longest=2_000)
    kind = take.text(fields, "kind", optional=True, longest=40) or Kind.WEBHOOK
    project = take.text(fields, "project", optional=True, longest=200) or None
    service, identity = services_of(request).notifications, identity_of(request)
    try:
        made, secret = await service.create(identity, values_of(fields), kind=kind, project=project)
    except NotFound as error:
        raise unknown_value(error, error.what) from None
    return Response(
        Data(data=shown(identity, made, {}, secret), status=201), status_code=201, headers=_SECRET
    )


@get("/notifications/{channel_id:int}", opt=_READ, tags=_TAGS, summary="One channel")
async def get_channel(request: _Request, channel_id: Id) -> Data[Channel]:
    return await _one(request, await _found(request, channel_id))


@patch(
    "/notifications/{channel_id:int}",
    opt={**_EDIT, "body": body_of(_CHANGES)},
    tags=_TAGS,
    summary="Change or pause a channel: what waits is tried at once",
)
async def change_channel(request: _Request, channel_id: Id) -> Data[Channel]:
    fields = await read_fields(request)
    take.only(fields, tuple(_CHANGES))
    service, identity = services_of(request).notifications, identity_of(request)
    changed = await service.change(identity, await _found(request, channel_id), values_of(fields))
    return await _one(request, changed)


@delete(
    "/notifications/{channel_id:int}",
    opt=_EDIT,
    tags=_TAGS,
    summary="Remove a channel and its messages",
    status_code=200,
)
async def delete_channel(request: _Request, channel_id: Id) -> Data[Deleted]:
    found = await _found(request, channel_id)
    await services_of(request).notifications.remove(identity_of(request), found)
    return Data(data=Deleted(deleted=found.name))


@post(
    "/notifications/{channel_id:int}/secret",
    opt=_EDIT,
    tags=_TAGS,
    summary="Give a webhook a new secret: the old one signs no more",
    status_code=200,
)
async def renew_secret(request: _Request, channel_id: Id) -> Response[Data[Channel]]:
    service, identity = services_of(request).notifications, identity_of(request)
    changed, secret = await service.renew_secret(identity, await _found(request, channel_id))
    waiting = await service.open_counts()
    return Response(Data(data=shown(identity, changed, waiting, secret)), headers=_SECRET)


@post(
    "/notifications/{channel_id:int}/test",
    opt=_EDIT,
    tags=_TAGS,
    summary="Send a test message; its delivery says what became of it",
    status_code=201,
)
async def try_channel(request: _Request, channel_id: Id) -> Data[Delivery]:
    service, identity = services_of(request).notifications, identity_of(request)
    message = await service.try_out(identity, await _found(request, channel_id))
    return Data(data=shown_message(message), status=201)


@get("/notifications/deliveries", opt=_READ, tags=_TAGS, summary="List messages and what became of them")
async def list_deliveries(
    request: _Request,
    channel: MaybeId = None,
    delivery: MaybeWord = None,
    event: MaybeWord = None,
    before: MaybeId = None,
    limit: Limit = _PAGE,
) -> Data[list[Delivery]]:
    """Newest first. `delivery`: waiting, retrying, delivered or given up; `before`: the id of the last one of
    the page before."""
    service, identity = services_of(request).notifications, identity_of(request)
    channels: Sequence[model.Channel] = (
        await service.channels(identity) if channel is None else [await service.channel(identity, channel)]
    )
    rows = await service.messages(channels, state=delivery, event=event, before=before, limit=limit)
    return Data(data=[shown_message(one) for one in rows])


@post(
    "/notifications/deliveries/{message_id:int}/again",
    opt=_EDIT,
    tags=_TAGS,
    summary="Send a message again that was given up",
    status_code=200,
)
async def send_again(request: _Request, message_id: Id) -> Data[Delivery]:
    services, identity = services_of(request), identity_of(request)
    seen = await services.stores.notifications.message(message_id)
    if seen is None:
        raise NotFound("message", message_id)
    try:
        channel = await services.notifications.channel(identity, seen.channel_id)
    except NotFound:
        raise NotFound("message", message_id) from None
    return Data(data=shown_message(await services.notifications.again(identity, channel, message_id)))


async def _found(request: _Request, channel_id: int) -> model.Channel:
    return await services_of(request).notifications.channel(identity_of(request), channel_id)


async def _one(request: _Request, row: model.Channel) -> Data[Channel]:
    waiting = await services_of(request).notifications.open_counts()
    return Data(data=shown(identity_of(request), row, waiting))


def values_of(fields: Fields) -> dict[str, Any]:
    """What was given of a channel, as the service takes it. Raises 422."""
    values: dict[str, Any] = {
        name: take.text(fields, name, optional=True, longest=2_000)
        for name in ("name", "url")
        if name in fields
    }
    for name in ("events", "tests"):
        if name in fields:
            values[name] = take.tags(fields[name], name)
    if "after" in fields:
        values["after"] = take.whole(fields, "after", default=0)
    if "active" in fields:
        values["active"] = take.flag(fields, "active")
    return values


ROUTES: list[Any] = [
    list_channels,
    create_channel,
    get_channel,
    change_channel,
    delete_channel,
    renew_secret,
    try_channel,
    list_deliveries,
    send_again,
]
