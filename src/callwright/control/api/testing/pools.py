"""Pools: who may use them, and how many servers of which kind are wanted in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, delete, get, patch, post, put
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.answers import Data, Deleted
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import Flag, services_of
from callwright.control.api.testing import schemas, translate
from callwright.control.errors import NotFound
from callwright.control.projects.model import Project
from callwright.fleet.pool import SETTINGS

_Request = Request[Any, Any, Any]
_AGENTS = ["agents"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_WHOLE = {"type": "integer", "minimum": 0}
_SECONDS = {"type": "number", "minimum": 0}
_OF_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_PROJECT = text("Only runs of this project may use it; empty or null: all runs.")
_SETTINGS: dict[str, dict[str, Any]] = {
    "provider": text("Where servers come from, such as process; process if absent."),
    "region": text("As the provider calls it."),
    "image": text("As the provider calls it."),
    "sizes": {
        "type": "array",
        "items": {"type": "string"},
        "description": "As the provider calls them; the next one is asked for when one is out of stock.",
    },
    "minimum": _WHOLE | {"description": "Servers that run at least; 0 if absent."},
    "maximum": _WHOLE | {"description": "Servers that there are at most; 10 if absent."},
    "capacity": _WHOLE | {"description": "Calls at once on one server; 10 if absent."},
    "buffer": _WHOLE | {"description": "Places for calls that are kept free; 0 if absent."},
    "min_age_seconds": _SECONDS | {"description": "No server is retired younger; 60 if absent."},
    "idle_seconds": _SECONDS
    | {"description": "Nor before it has been without a call for this long; 300 if absent."},
    "drain_seconds": _SECONDS
    | {"description": "What a retired server has to finish its calls; 600 if absent."},
    "labels": _OF_TEXTS | {"description": "Labels of its servers."},
    "max_created_per_hour": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "The bound on spending; null for none; 100 if absent.",
    },
    "prices": {
        "type": "object",
        "additionalProperties": {"type": "number"},
        "description": "Of a server per hour, by size, in any currency.",
    },
}
_BODY = body_of({**_SETTINGS, "project": _PROJECT}, example={"minimum": 1, "maximum": 6, "capacity": 16})


@get("/agentpools", opt=_READ, tags=_AGENTS, summary="List pools with what they can do")
async def list_pools(request: _Request) -> Data[list[schemas.Pool]]:
    """Those of projects that you see, and those of all."""
    services, identity = services_of(request), identity_of(request)
    agents, wall = await services.agents.agents_seen(identity), services.clock.wall()
    pools, projects = await services.agents.pools_seen(identity), await services.projects.list(identity)
    return Data(data=[translate.pool(pool, agents, wall, projects) for pool in pools])


@post(
    "/agentpools",
    opt=_ADMINISTER
    | {
        "body": body_of(
            {"name": text("Its name."), "project": text("Only runs of this project may use it.")},
            required=("name",),
        )
    },
    tags=_AGENTS,
    summary="Make a pool",
    status_code=201,
)
async def create_pool(request: _Request) -> Data[schemas.Pool]:
    fields = await read_fields(request)
    take.only(fields, ("name", "project"))
    name = take.text(fields, "name", longest=64)
    services, identity = services_of(request), identity_of(request)
    project = await _project(request, fields)
    pool = await services.agents.create_pool(identity, name, project)
    return Data(data=translate.pool(pool, [], 0.0, await services.projects.list(identity)), status=201)


@get(
    "/agentpools/{name:str}",
    opt=_READ,
    tags=_AGENTS,
    summary="One pool, its servers and why they are so many",
)
async def get_pool(request: _Request, name: FromPath[str]) -> Data[schemas.FleetPool]:
    return Data(data=await _shown(request, name))


@put(
    "/agentpools/{name:str}",
    opt=_ADMINISTER | {"body": _BODY | {"required": False}},
    tags=_AGENTS,
    summary="Set a pool up, or anew: what is absent gets its default",
    status_code=200,
)
async def put_pool(request: _Request, name: FromPath[str]) -> Data[schemas.FleetPool]:
    fields = await read_fields(request)
    take.only(fields, (*SETTINGS, "project"))
    await _change(request, name, fields, whole=True)
    return Data(data=await _shown(request, name))


@patch(
    "/agentpools/{name:str}",
    opt=_ADMINISTER | {"body": _BODY},
    tags=_AGENTS,
    summary="Change what is named of a pool, or give it to a project",
)
async def change_pool(request: _Request, name: FromPath[str]) -> Data[schemas.FleetPool]:
    fields = await read_fields(request)
    take.only(fields, (*SETTINGS, "project"))
    if not fields:
        raise invalid("project", "No field is named: give a setting of the pool, or its project.")
    await _change(request, name, fields, whole=False)
    return Data(data=await _shown(request, name))


async def _change(request: _Request, name: str, fields: Fields, *, whole: bool) -> None:
    services, identity = services_of(request), identity_of(request)
    settings: Mapping[str, Any] = {key: value for key, value in fields.items() if key != "project"}
    async with services.audit.change():
        if settings or whole:
            await services.servers.set_pool(identity, name, settings, whole=whole)
        if "project" in fields:
            await services.agents.give_pool(identity, name, await _project(request, fields))


@delete(
    "/agentpools/{name:str}",
    opt=_ADMINISTER,
    tags=_AGENTS,
    summary="Remove a pool: 409 while it has servers, unless drain=true ends them first",
    status_code=200,
)
async def delete_pool(
    request: _Request, name: FromPath[str], drain: Flag = False
) -> Response[Data[Deleted]] | Response[Data[schemas.FleetPool]]:
    """202: its servers finish their calls and go, and then the pool goes."""
    gone = await services_of(request).servers.remove_pool(identity_of(request), name, drain=drain)
    if gone:
        return Response(Data(data=Deleted(deleted=name)))
    return Response(Data(data=await _shown(request, name), status=202), status_code=202)


async def _shown(request: _Request, name: str) -> schemas.FleetPool:
    services, identity = services_of(request), identity_of(request)
    owners = [pool for pool in await services.agents.pools_seen(identity) if pool.name == name]
    if not owners:
        near = [pool.name for pool in await services.agents.pools_seen(identity)]
        raise NotFound("pool", name, near=near[:3])
    return translate.fleet_pool(
        owners[0],
        await services.servers.pool(name),
        [one for one in await services.servers.listed_for(identity) if one.pool == name],
        await services.agents.agents_seen(identity),
        await services.history.decided(name),
        services.clock.wall(),
        await services.projects.list(identity),
    )


async def _project(request: _Request, fields: Fields) -> Project | None:
    name = take.text(fields, "project", optional=True, longest=255)
    return await services_of(request).projects.get(identity_of(request), name) if name else None


ROUTES: list[Any] = [list_pools, create_pool, get_pool, put_pool, change_pool, delete_pool]
