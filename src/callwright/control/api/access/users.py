"""Users."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post

from callwright.control.accounts.model import Category, Right, Role
from callwright.control.api import fields as take
from callwright.control.api.access import schemas, translate
from callwright.control.api.answers import Data, Deleted
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, services_of

_Request = Request[Any, Any, Any]
TAGS = ["accounts"]


_ROLES, _CATEGORIES = tuple(role.value for role in Role), tuple(category.value for category in Category)


@get("/users", opt={"right": Right.ADMINISTER}, tags=TAGS, summary="List users")
async def list_users(request: _Request) -> Data[list[schemas.User]]:
    accounts = services_of(request).accounts
    memberships = await services_of(request).projects.members(identity_of(request))
    return Data(data=[translate.user(record, memberships) for record in await accounts.users()])


@post(
    "/users",
    opt={
        "right": Right.ADMINISTER,
        "body": body_of(
            {
                "username": text("Their name here."),
                "email": text(""),
                "name": text("As people call them."),
                "password": text("At least 10 characters."),
                "role": text("The most that it may do in any project; admin: everything.", enum=list(_ROLES)),
                "projects": {
                    "description": "Projects of which it is a member with that role.",
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                },
                "category": text("API: may use name and password as Basic.", enum=list(_CATEGORIES)),
            },
            required=("username", "password"),
        ),
    },
    tags=TAGS,
    summary="Add a user",
    status_code=201,
)
async def create_user(request: _Request) -> Data[schemas.User]:
    fields = await read_fields(request)
    take.only(fields, ("username", "email", "name", "password", "role", "category", "projects"))
    services, identity = services_of(request), identity_of(request)
    names = take.tags(fields.get("projects"), "projects")
    projects = [await services.projects.get(identity, name) for name in names]
    role = take.text(fields, "role", optional=True) or Role.MEMBER.value
    category = take.text(fields, "category", optional=True) or None
    if role not in _ROLES:
        raise invalid("role", f"{role!r} is not a role.", value=role, permitted=_ROLES)
    if category is not None and category not in _CATEGORIES:
        raise invalid("category", f"{category!r} is not a category.", value=category, permitted=_CATEGORIES)
    record = await services.accounts.create_user(
        identity,
        username=take.text(fields, "username", longest=64),
        email=take.text(fields, "email", optional=True, longest=255),
        name=take.text(fields, "name", optional=True, longest=255),
        password=take.text(fields, "password", longest=1_000),
        role=role,
        category=category,
    )
    if role != Role.ADMIN:
        for project in projects:
            await services.projects.put_member(identity, record, project, role)
    memberships = await services.projects.members(identity, user_id=record.id)
    return Data(data=translate.user(record, memberships), status=201)


@delete(
    "/users/{user_id:int}",
    opt={"right": Right.ADMINISTER},
    tags=TAGS,
    summary="Remove a user",
    status_code=200,
)
async def delete_user(request: _Request, user_id: Id) -> Data[Deleted]:
    await services_of(request).accounts.delete_user(identity_of(request), user_id)
    return Data(data=Deleted(deleted=str(user_id)))


ROUTES: list[Any] = [
    list_users,
    create_user,
    delete_user,
]
