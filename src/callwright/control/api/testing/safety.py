"""Targets and the kill switch."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post

from callwright.control import killing
from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.answers import Data, Deleted, utc
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.request import Id, services_of
from callwright.control.api.testing import schemas, translate
from callwright.control.runs.model import KillStanding

_Request = Request[Any, Any, Any]
_AGENTS, _SAFETY = ["agents"], ["safety"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_HOURS = 24.0


@get("/targets", opt=_READ, tags=_SAFETY, summary="List the destinations that are permitted")
async def list_targets(request: _Request) -> Data[list[schemas.Target]]:
    rows = await services_of(request).targets.list()
    return Data(data=[translate.target(row) for row in rows])


_TARGET = {
    "host": text("A name, or *.name for all below it."),
    "network": text("An address or a network such as 192.0.2.0/24."),
    "number": text("Only this number; * and ? are wildcards."),
    "country": text(
        "Where its numbers are dialled, such as AT (ISO 3166-1): emergency and premium numbers that only "
        "this country has are refused too."
    ),
    "rate": {"type": "number", "description": "Calls a second, at most."},
    "concurrency": {"type": "integer", "description": "Calls at once, at most."},
    "minutes": {"type": "number", "description": "Minutes of calls in a day, at most."},
    "note": text("Why it is permitted."),
}


@post(
    "/targets",
    opt=_ADMINISTER | {"body": body_of(_TARGET, example={"host": "pbx.example.com", "concurrency": 10})},
    tags=_SAFETY,
    summary="Permit a destination",
    status_code=201,
)
async def create_target(request: _Request) -> Data[schemas.Target]:
    fields = await read_fields(request)
    take.only(fields, tuple(_TARGET))
    row = await services_of(request).targets.add(
        identity_of(request),
        host=take.text(fields, "host", optional=True, longest=255) or None,
        network=take.text(fields, "network", optional=True, longest=64) or None,
        number=take.text(fields, "number", optional=True, longest=64) or None,
        country=take.text(fields, "country", optional=True, longest=64) or None,
        rate=take.number(fields, "rate"),
        concurrency=take.whole(fields, "concurrency"),
        minutes=take.number(fields, "minutes"),
        note=take.text(fields, "note", optional=True),
    )
    return Data(data=translate.target(row), status=201)


@delete(
    "/targets/{target_id:int}",
    opt=_ADMINISTER,
    tags=_SAFETY,
    summary="Withdraw the permission of a destination",
    status_code=200,
)
async def delete_target(request: _Request, target_id: Id) -> Data[Deleted]:
    await services_of(request).targets.remove(identity_of(request), target_id)
    return Data(data=Deleted(deleted=str(target_id)))


@get("/kill", opt=_READ, tags=_SAFETY, summary="Whether the kill switch is engaged")
async def get_kill(request: _Request) -> Data[schemas.KillSwitch]:
    return Data(data=_switch(await killing.standing(services_of(request))))


@post(
    "/kill",
    opt=_ADMINISTER | {"body": body_of({"reason": text("Why.")}, optional=True)},
    tags=_SAFETY,
    summary="Stop every run now, and start none until it is released",
    status_code=200,
)
async def engage_kill(request: _Request) -> Data[schemas.KillSwitch]:
    fields = await read_fields(request)
    take.only(fields, ("reason",))
    reason = take.text(fields, "reason", optional=True)
    return Data(data=_switch(await killing.engage(services_of(request), identity_of(request), reason)))


@delete("/kill", opt=_ADMINISTER, tags=_SAFETY, summary="Release the kill switch", status_code=200)
async def release_kill(request: _Request) -> Data[schemas.KillSwitch]:
    await services_of(request).runs.release_kill_switch(identity_of(request))
    return Data(data=_switch(await killing.standing(services_of(request))))


def _switch(standing: KillStanding) -> schemas.KillSwitch:
    switch = standing.switch
    return schemas.KillSwitch(
        engaged=switch is not None,
        by=switch.by if switch else None,
        reason=switch.reason if switch else None,
        engaged_at=utc(switch.engaged_at) if switch else None,
        stopped=standing.stopped,
        waiting=standing.waiting,
        silent=list(standing.silent),
    )


ROUTES: list[Any] = [
    list_targets,
    create_target,
    delete_target,
    get_kill,
    engage_kill,
    release_kill,
]
