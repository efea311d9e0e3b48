"""VoIP tests, one server testing one endpoint each, and what they measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.monitoring.answers import Collection, Dates, collection, dates_of
from callwright.control.api.monitoring.asking import MaybeStatus, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, MaybeId, services_of
from callwright.control.monitors import model

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_EDIT, _READ = {"right": Right.EDIT}, {"right": Right.READ}
_SHAPE: dict[str, Any] = {
    "codec": text("What the E-model assumes.", default="g711"),
    "num_tests": {"type": "integer", "description": "Packets of one test.", "default": 25},
    "interpacket_ms": {"type": "number", "description": "Between two packets.", "default": 100},
}


class VoipTest(msgspec.Struct, frozen=True, kw_only=True):
    """`mos`: the latest, measured at `updated_at`. `state` and `reason`: of the newest slot. `deleted_at`
    null: it has not been cancelled."""

    id: int
    endpoint_id: int
    server_id: int
    mos: float | None
    codec: str
    num_tests: int
    interpacket_ms: float
    state: str | None
    reason: str
    created_at: str
    updated_at: str | None
    deleted_at: str | None


def shown(row: model.VoipTest, dates: Dates) -> VoipTest:
    gap = row.interpacket_ms
    return VoipTest(
        id=row.id,
        endpoint_id=row.endpoint_id,
        server_id=row.server_id,
        mos=row.mos,
        codec=row.codec,
        num_tests=row.num_tests,
        interpacket_ms=int(gap) if gap.is_integer() else gap,
        state=row.state or None,
        reason=row.reason,
        created_at=dates.text(row.created_at),
        updated_at=dates.maybe(row.updated_at),
        deleted_at=dates.maybe(row.deleted_at),
    )


_PATH = "/endpoints/{endpoint_id:int}/voip_tests"
_ONE = f"{_PATH}/{{voip_test_id:int}}"


@get(_PATH, opt=_READ, tags=TAGS, summary="List the VoIP tests of an endpoint")
async def list_voip_tests(
    request: _Request, endpoint_id: Id, server_id: MaybeId = None, status: MaybeStatus = None
) -> Collection[VoipTest]:
    wanted, dates = status_of(status), await dates_of(request)
    return collection(
        shown(one, dates)
        for one in await services_of(request).monitors.voip_tests(identity_of(request), endpoint_id)
        if wanted.fits(one.deleted_at) and server_id in (None, one.server_id)
    )


@get(_ONE, opt=_READ, tags=TAGS, summary="Show a VoIP test")
async def show_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    found = await monitors.voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(found, await dates_of(request))


@post(
    _PATH,
    opt={
        **_EDIT,
        "body": body_of(
            {"server_id": {"type": "integer", "description": "Who tests."}, **_SHAPE}, required=("server_id",)
        ),
    },
    tags=TAGS,
    summary="Have one more server test an endpoint",
    status_code=201,
)
async def create_voip_test(request: _Request, endpoint_id: Id) -> VoipTest:
    fields = await read_fields(request)
    take.only(fields, ("server_id", *_SHAPE))
    server_id = take.whole(fields, "server_id")
    if server_id is None:
        raise invalid("server_id", "server_id is missing.")
    made = await services_of(request).monitors.add_voip_test(
        identity_of(request), endpoint_id, server_id, _values(fields)
    )
    return shown(made, await dates_of(request))


@patch(_ONE, opt={**_EDIT, "body": body_of(_SHAPE)}, tags=TAGS, summary="Change a VoIP test")
async def change_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    fields = await read_fields(request)
    take.only(fields, tuple(_SHAPE))
    changed = await services_of(request).monitors.change_voip_test(
        identity_of(request), endpoint_id, voip_test_id, _values(fields)
    )
    return shown(changed, await dates_of(request))


@delete(_ONE, opt=_EDIT, tags=TAGS, summary="Cancel a VoIP test; its history stays", status_code=200)
async def delete_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    gone = await monitors.cancel_voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(gone, await dates_of(request))


@patch(f"{_ONE}/activate", opt=_EDIT, tags=TAGS, summary="Recover a cancelled VoIP test")
async def activate_voip_test(request: _Request, endpoint_id: Id, voip_test_id: Id) -> VoipTest:
    monitors = services_of(request).monitors
    back = await monitors.recover_voip_test(identity_of(request), endpoint_id, voip_test_id)
    return shown(back, await dates_of(request))


def _values(fields: Fields) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    if "codec" in fields:
        values["codec"] = take.text(fields, "codec", longest=100)
    if "num_tests" in fields:
        values["num_tests"] = take.whole(fields, "num_tests", default=25)
    if "interpacket_ms" in fields:
        values["interpacket_ms"] = take.number(fields, "interpacket_ms", default=100.0)
    return values


ROUTES: list[Any] = [
    list_voip_tests,
    show_voip_test,
    create_voip_test,
    change_voip_test,
    delete_voip_test,
    activate_voip_test,
]
