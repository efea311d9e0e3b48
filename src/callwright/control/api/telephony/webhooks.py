"""Webhooks of users: what happens to their calls, signed and delivered through the outbox."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import TELEPHONY_IDS, Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields, read_objects
from callwright.control.api.openapi import body_of, list_body_of, text
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, listed, single, with_id
from callwright.control.api.telephony.including import record_of
from callwright.control.collections.choosing import chosen
from callwright.control.collections.model import Kind, Property, Resource
from callwright.control.collections.reading import read_ids
from callwright.control.notifications.model import Channel

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_PROPERTIES: dict[str, Any] = {
    "name": text(""),
    "url": text("Of the receiver: http or https."),
    "events": {"type": "array", "items": {"type": "string"}, "description": "Without them all are told."},
    "active": {"type": "boolean", "description": "false: paused."},
}
_FIELDS = tuple(_PROPERTIES)
_NEW, _CHANGE = body_of(_PROPERTIES, required=("url",)), body_of(_PROPERTIES)
_CHANGES = list_body_of(_PROPERTIES)
_SECRET = {"Cache-Control": "no-store"}
_MOST_DELIVERIES = 1_000

WEBHOOKS = Resource(
    "webhooks",
    (
        Property("id", Kind.INTEGER),
        Property("user_id", Kind.INTEGER),
        Property("name", Kind.TEXT),
        Property("url", Kind.TEXT),
        Property("events", Kind.LABELS),
        Property("active", Kind.FLAG, description="false: paused."),
        Property("created_at", Kind.DATE),
        Property("updated_at", Kind.DATE),
    ),
)
DELIVERIES = Resource(
    "deliveries",
    (
        Property("id", Kind.INTEGER),
        Property("webhook_id", Kind.TEXT, description="The same at each attempt."),
        Property("event", Kind.TEXT),
        Property("state", Kind.TEXT, description="waiting, retrying, delivered or given up."),
        Property("attempts", Kind.INTEGER),
        Property("written_at", Kind.DATE),
        Property("tried_at", Kind.DATE, nullable=True),
        Property("status", Kind.INTEGER, nullable=True, description="Of the receiver's last answer."),
        Property("reason", Kind.TEXT, nullable=True, description="Why the last attempt failed."),
        Property("payload", Kind.OBJECT),
    ),
)


@get("/webhooks", opt=_READ | {"lists": WEBHOOKS})
async def list_webhooks(request: _Request) -> dict[str, Any]:
    """One's own; administrators see those of all users."""
    query = asked(request, WEBHOOKS)
    rows = [_row(one) for one in await services_of(request).notifications.webhooks(identity_of(request))]
    return listed(WEBHOOKS, query, chosen(WEBHOOKS, rows, query))


@post("/webhooks", opt=_READ | {"shows": WEBHOOKS, "body": _NEW}, status_code=201)
async def create_webhook(request: _Request) -> Response[dict[str, Any]]:
    """`secret` is in this answer and in no other. Without `events` it is told of all."""
    fields = await read_fields(request)
    take.only(fields, _FIELDS)
    take.text(fields, "url", longest=2_000)
    values = {"name": "webhook", **_values(fields)}
    made, secret = await services_of(request).notifications.create_webhook(identity_of(request), values)
    shown = dated(WEBHOOKS, _row(made)) | {"secret": secret}
    return Response(single(shown), status_code=201, headers=_SECRET)


@get("/webhooks/{webhook_id:int}", opt=_READ | {"shows": WEBHOOKS})
async def get_webhook(request: _Request, webhook_id: FromPath[int]) -> dict[str, Any]:
    return await record_of(request, WEBHOOKS, _row(await _found(request, webhook_id)))


@patch("/webhooks/{webhook_id:int}", opt=_READ | {"shows": WEBHOOKS, "body": _CHANGE})
async def change_webhook(request: _Request, webhook_id: FromPath[int]) -> dict[str, Any]:
    fields = await read_fields(request)
    return await record_of(request, WEBHOOKS, (await _changed(request, [(webhook_id, fields)]))[0])


@patch("/webhooks", opt=_READ | {"body": _CHANGES})
async def change_webhooks(request: _Request) -> dict[str, Any]:
    """A list of objects with an `id` each: all of them are changed, or none."""
    rows = await _changed(request, [with_id(fields) for fields in await read_objects(request)])
    return {"data": [dated(WEBHOOKS, row) for row in rows], "total": len(rows)}


@delete("/webhooks/{which:str}", opt=_READ, status_code=204)
async def delete_webhooks(request: _Request, which: FromPath[str]) -> None:
    """Ids with commas; all of them or none."""
    services, identity = services_of(request), identity_of(request)
    async with services.audit.change():
        for webhook_id in read_ids(which):
            found = await services.notifications.webhook(identity, webhook_id)
            await services.notifications.remove(identity, found)


@post("/webhooks/{webhook_id:int}/test", opt=_READ, status_code=201)
async def try_webhook(request: _Request, webhook_id: FromPath[int]) -> dict[str, Any]:
    """Sends a message of type `test`."""
    found = await _found(request, webhook_id)
    message = await services_of(request).notifications.try_out(identity_of(request), found)
    return single({"id": message.id, "webhook_id": message.uid, "state": str(message.state)})


@get("/webhooks/{webhook_id:int}/deliveries", opt=_READ | {"lists": DELIVERIES})
async def list_deliveries(request: _Request, webhook_id: FromPath[int]) -> dict[str, Any]:
    """The newest thousand messages, and what became of each."""
    query, found = asked(request, DELIVERIES), await _found(request, webhook_id)
    rows = [
        {
            "id": one.id,
            "webhook_id": one.uid,
            "event": one.event,
            "state": one.state,
            "attempts": one.attempts,
            "written_at": one.at,
            "tried_at": one.tried_at,
            "status": one.status,
            "reason": one.reason or None,
            "payload": msgspec.json.decode(one.body),
        }
        for one in await services_of(request).notifications.messages([found], limit=_MOST_DELIVERIES)
    ]
    return listed(DELIVERIES, query, chosen(DELIVERIES, rows, query))


async def _found(request: _Request, webhook_id: int) -> Channel:
    return await services_of(request).notifications.webhook(identity_of(request), webhook_id)


async def _changed(request: _Request, changes: list[tuple[int, Fields]]) -> list[dict[str, Any]]:
    services, identity = services_of(request), identity_of(request)
    rows = []
    async with services.audit.change():
        for webhook_id, fields in changes:
            take.only(fields, _FIELDS)
            found = await services.notifications.webhook(identity, webhook_id)
            rows.append(_row(await services.notifications.change(identity, found, _values(fields))))
    return rows


def _values(fields: Fields) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: take.text(fields, name, optional=True, longest=2_000)
        for name in ("name", "url")
        if name in fields
    }
    if "events" in fields:
        values["events"] = take.tags(fields["events"], "events")
    if "active" in fields:
        values["active"] = take.flag(fields, "active")
    return values


def _row(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "user_id": TELEPHONY_IDS + (channel.user_id or 0),
        "name": channel.name,
        "url": channel.url,
        "events": list(channel.events),
        "active": bool(channel.active),
        "created_at": channel.created_at,
        "updated_at": channel.updated_at,
    }


ROUTES: list[Any] = [
    list_webhooks,
    create_webhook,
    get_webhook,
    change_webhook,
    change_webhooks,
    delete_webhooks,
    try_webhook,
    list_deliveries,
]
