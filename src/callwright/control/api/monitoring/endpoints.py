"""Endpoints: what is tested, by which servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.monitoring.answers import (
    Collection,
    Dates,
    collection,
    dates_of,
    projects_of,
)
from callwright.control.api.monitoring.asking import MaybeStatus, holds, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid, unknown_value
from callwright.control.api.request import Id, MaybeId, MaybeWord, services_of
from callwright.control.errors import NotFound
from callwright.control.monitors import model
from callwright.control.monitors.model import Category, VoipTest

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_EDIT = {"right": Right.EDIT}
_READ = {"right": Right.READ}
_CATEGORIES = tuple(one.value for one in Category)
_IDS = {"type": "array", "items": {"type": "integer"}}
_FIELDS: dict[str, Any] = {
    "name": text("As people call it; for `dns` the name that is looked up, unless ip_address has it."),
    "ip_address": text("IP address or host name."),
    "port": {"type": ["integer", "null"], "description": "Null for ping and dns; 5060 for sip, 862 for udp."},
    "description": text(""),
    "category": text("How it is tested.", enum=_CATEGORIES),
    "server_ids": {**_IDS, "description": "The servers that test it; each gets a VoIP test."},
    "interval": {"type": "integer", "description": "Seconds between two tests, 10 to 86400.", "default": 60},
    "alert_threshold": {
        "type": ["number", "null"],
        "description": "MOS below which alerts are raised. Null: none are, and alert_ids must be empty.",
    },
    "alert_ids": {**_IDS, "description": "The alerts that it raises."},
    "uri": text("SIP URI of the registrar or of the callee, for `register` and `call`."),
    "credentials": text("Name of the SIP account that is used."),
    "transport": text("", enum=("udp", "tcp", "tls")),
}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`project`: its name. `server_ids`: the servers that test it. `deleted_at` null: it has not been
    cancelled."""

    id: int
    project: str
    name: str
    ip_address: str
    port: int | None
    description: str
    category: str
    server_ids: list[int]
    interval: int
    alert_threshold: float | None
    alert_ids: list[int]
    uri: str
    credentials: str
    transport: str
    created_at: str
    deleted_at: str | None


def shown(row: model.Endpoint, project: str, tests: Sequence[VoipTest], dates: Dates) -> Endpoint:
    return Endpoint(
        id=row.id,
        project=project,
        name=row.name,
        ip_address=row.ip_address,
        port=row.port,
        description=row.description,
        category=str(row.category),
        server_ids=[one.server_id for one in tests if one.deleted_at is None],
        interval=row.interval,
        alert_threshold=row.alert_threshold,
        alert_ids=list(row.alert_ids),
        uri=row.uri,
        credentials=row.credentials,
        transport=row.transport,
        created_at=dates.text(row.created_at),
        deleted_at=dates.maybe(row.deleted_at),
    )


@get("/endpoints", opt=_READ, tags=TAGS, summary="List endpoints")
async def list_endpoints(
    request: _Request,
    name: MaybeWord = None,
    ip_address: MaybeWord = None,
    description: MaybeWord = None,
    category: MaybeWord = None,
    server_id: MaybeId = None,
    status: MaybeStatus = None,
) -> Collection[Endpoint]:
    """`name`, `ip_address` and `description` match anywhere, in either case; `server_id`: tested by it."""
    wanted, only = status_of(status), category_of(category) if category else None
    service, identity, dates = services_of(request).monitors, identity_of(request), await dates_of(request)
    tests, projects = by_endpoint(await service.all_voip_tests(identity)), await projects_of(request)
    rows = (
        shown(one, projects.get(one.project_id, ""), tests.get(one.id, ()), dates)
        for one in await service.endpoints(identity)
        if wanted.fits(one.deleted_at)
        and holds(one.name, name)
        and holds(one.ip_address, ip_address)
        and holds(one.description, description)
        and only in (None, one.category)
    )
    return collection(one for one in rows if server_id is None or server_id in one.server_ids)


@get("/endpoints/{endpoint_id:int}", opt=_READ, tags=TAGS, summary="Show an endpoint")
async def show_endpoint(request: _Request, endpoint_id: Id) -> Endpoint:
    return await _shown(
        request, await services_of(request).monitors.endpoint(identity_of(request), endpoint_id)
    )


@post(
    "/endpoints",
    opt={
        **_EDIT,
        "body": body_of({**_FIELDS, "project": text("Ours: where it belongs.")}, required=("name",)),
    },
    tags=TAGS,
    summary="Register an endpoint",
    status_code=201,
)
async def create_endpoint(request: _Request) -> Endpoint:
    """Makes a VoIP test for each server named."""
    fields = await read_fields(request)
    take.only(fields, (*_FIELDS, "project"))
    take.text(fields, "name", longest=255)
    try:
        made = await services_of(request).monitors.create(
            identity_of(request),
            values_of(fields),
            server_ids=take.ids(fields, "server_ids"),
            project=take.text(fields, "project", optional=True) or None,
        )
    except NotFound as error:
        raise unknown_value(error, error.what) from None
    return await _shown(request, made)


@patch(
    "/endpoints/{endpoint_id:int}",
    opt={**_EDIT, "body": body_of(_FIELDS)},
    tags=TAGS,
    summary="Change an endpoint",
)
async def change_endpoint(request: _Request, endpoint_id: Id) -> Endpoint:
    """`server_ids`: exactly these servers test it from now on; the VoIP tests of others are cancelled."""
    fields = await read_fields(request)
    take.only(fields, tuple(_FIELDS))
    changed = await services_of(request).monitors.change(
        identity_of(request),
        endpoint_id,
        values_of(fields),
        server_ids=take.ids(fields, "server_ids") if "server_ids" in fields else None,
    )
    return await _shown(request, changed)


@delete(
    "/endpoints/{endpoint_id:int}",
    opt=_EDIT,
    tags=TAGS,
    summary="Cancel an endpoint; its record and history stay",
    status_code=200,
)
async def delete_endpoint(request: _Request, endpoint_id: Id) -> Endpoint:
    return await _shown(
        request, await services_of(request).monitors.cancel(identity_of(request), endpoint_id)
    )


@patch("/endpoints/{endpoint_id:int}/activate", opt=_EDIT, tags=TAGS, summary="Recover a cancelled endpoint")
async def activate_endpoint(request: _Request, endpoint_id: Id) -> Endpoint:
    return await _shown(
        request, await services_of(request).monitors.recover(identity_of(request), endpoint_id)
    )


async def _shown(request: _Request, row: model.Endpoint) -> Endpoint:
    tests = await services_of(request).monitors.voip_tests(identity_of(request), row.id)
    project = (await projects_of(request)).get(row.project_id, "")
    return shown(row, project, tests, await dates_of(request))


def by_endpoint(tests: Sequence[VoipTest]) -> Mapping[int, Sequence[VoipTest]]:
    found: dict[int, list[VoipTest]] = {}
    for one in tests:
        found.setdefault(one.endpoint_id, []).append(one)
    return found


def category_of(word: str) -> Category:
    if word.lower() not in _CATEGORIES:
        raise invalid("category", f"{word[:100]!r} is not a category.", value=word, permitted=_CATEGORIES)
    return Category(word.lower())


def values_of(fields: Fields) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: take.text(fields, name, optional=True, longest=longest)
        for name, longest in (
            ("name", 255),
            ("ip_address", 255),
            ("description", 2_000),
            ("uri", 1_000),
            ("credentials", 200),
        )
        if name in fields
    }
    if "category" in fields:
        values["category"] = category_of(take.text(fields, "category"))
    if "transport" in fields:
        values["transport"] = take.text(fields, "transport", optional=True).lower() or "udp"
    if "port" in fields:
        values["port"] = take.whole(fields, "port")
    if "interval" in fields:
        values["interval"] = take.whole(fields, "interval", default=60)
    if "alert_threshold" in fields:
        values["alert_threshold"] = take.number(fields, "alert_threshold")
    if "alert_ids" in fields:
        values["alert_ids"] = tuple(take.ids(fields, "alert_ids"))
    return values


ROUTES: list[Any] = [
    list_endpoints,
    show_endpoint,
    create_endpoint,
    change_endpoint,
    delete_endpoint,
    activate_endpoint,
]
