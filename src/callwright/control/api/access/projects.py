"""Projects, their limits and their members."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post, put
from litestar.params import FromPath

from callwright.control.accounts.model import Right, Role
from callwright.control.api import fields as take
from callwright.control.api.access import schemas, translate
from callwright.control.api.answers import Data, Deleted
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import services_of

_Request = Request[Any, Any, Any]
TAGS = ["accounts"]
_LIMITS = ("max_running", "max_queued", "keep_runs_days")
_ROLES_THERE = tuple(role.value for role in Role if role is not Role.ADMIN)


@get("/projects", opt={"right": Right.READ}, tags=TAGS, summary="List projects")
async def list_projects(request: _Request) -> Data[list[schemas.Project]]:
    identity = identity_of(request)
    records = await services_of(request).projects.list(identity)
    return Data(data=[translate.project(record, identity) for record in records])


@post(
    "/projects",
    opt={
        "right": Right.ADMINISTER,
        "body": body_of({"name": text(""), "description": text("")}, required=("name",)),
    },
    tags=TAGS,
    summary="Make a project",
    status_code=201,
)
async def create_project(request: _Request) -> Data[schemas.Project]:
    fields = await read_fields(request)
    take.only(fields, ("name", "description"))
    record = await services_of(request).projects.create(
        identity_of(request),
        take.text(fields, "name", longest=255),
        take.text(fields, "description", optional=True, longest=10_000),
    )
    return Data(data=translate.project(record, identity_of(request)), status=201)


@patch(
    "/projects/{name:str}",
    opt={
        "right": Right.ADMINISTER,
        "body": body_of(
            {
                "max_running": {
                    "type": "integer",
                    "description": "Runs that agents carry out at once; null for no limit of its own.",
                },
                "max_queued": {
                    "type": "integer",
                    "description": "Runs that may wait; null for no limit of its own.",
                },
                "keep_runs_days": {
                    "type": "integer",
                    "description": "Runs that were started longer ago are removed; null keeps them.",
                },
            },
            example={"max_running": 10},
        ),
    },
    tags=TAGS,
    summary="Limit how many runs of a project wait, are carried out at once, and how long they stay",
)
async def limit_project(request: _Request, name: FromPath[str]) -> Data[schemas.Project]:
    """What is not named stays as it is."""
    fields = await read_fields(request)
    take.only(fields, _LIMITS)
    services, identity = services_of(request), identity_of(request)
    known = await services.projects.get(identity, name)
    wanted = {
        field: take.whole(fields, field) if field in fields else getattr(known, field) for field in _LIMITS
    }
    record = await services.projects.limit(identity, name, **wanted)
    return Data(data=translate.project(record, identity))


@get(
    "/projects/{name:str}/members",
    opt={"right": Right.READ},
    tags=TAGS,
    summary="List the members of a project",
)
async def list_members(request: _Request, name: FromPath[str]) -> Data[list[schemas.Member]]:
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    records = await services.projects.members(identity, project=project)
    return Data(data=[translate.member(record) for record in records])


@put(
    "/projects/{name:str}/members/{username:str}",
    opt={
        "right": Right.ADMINISTER,
        "body": body_of(
            {"role": text("What they may do there.", enum=list(_ROLES_THERE))}, required=("role",)
        ),
    },
    tags=TAGS,
    summary="Make a user a member of a project, or give a member another role there",
)
async def put_member(request: _Request, name: FromPath[str], username: FromPath[str]) -> Data[schemas.Member]:
    fields = await read_fields(request)
    take.only(fields, ("role",))
    role = take.text(fields, "role")
    if role not in _ROLES_THERE:
        raise invalid("role", f"{role!r} is not a role in a project.", value=role, permitted=_ROLES_THERE)
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    user = await services.accounts.user_by_name(username)
    await services.projects.put_member(identity, user, project, role)
    (record,) = await services.projects.members(identity, user_id=user.id, project=project)
    return Data(data=translate.member(record))


@delete(
    "/projects/{name:str}/members/{username:str}",
    opt={"right": Right.ADMINISTER},
    tags=TAGS,
    summary="Remove a member from a project",
    status_code=200,
)
async def remove_member(request: _Request, name: FromPath[str], username: FromPath[str]) -> Data[Deleted]:
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    user = await services.accounts.user_by_name(username)
    await services.projects.remove_member(identity, user, project)
    return Data(data=Deleted(deleted=username))


ROUTES: list[Any] = [
    list_projects,
    create_project,
    limit_project,
    list_members,
    put_member,
    remove_member,
]
