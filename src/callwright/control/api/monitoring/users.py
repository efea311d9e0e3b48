"""Users, as this chapter shows them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from callwright.control.accounts import model as accounts
from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Category, Right, Role
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.monitoring.answers import Collection, Dates, collection, dates_of
from callwright.control.api.monitoring.asking import MaybeStatus, holds, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, MaybeWord, services_of

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_ADMINISTER = {"right": Right.ADMINISTER}
_CATEGORIES = tuple(category.value for category in Category)
_FIELDS = {
    "username": text("Their name here."),
    "name": text("As people call them."),
    "email": text(""),
    "category": text("Admin: may do everything. API: may use name and password as Basic.", enum=_CATEGORIES),
    "time_zone": text("Name in the IANA database, such as Europe/Vienna: the zone of the dates they get."),
    "password": text("At least 10 characters."),
}


class User(msgspec.Struct, frozen=True, kw_only=True):
    """`master`: the oldest administrator. `deleted_at` null: the user has not been cancelled."""

    id: int
    username: str
    name: str
    master: bool
    email: str
    category: str
    time_zone: str
    created_at: str
    deleted_at: str | None


def shown(user: accounts.User, master: int | None, dates: Dates) -> User:
    return User(
        id=user.id,
        username=user.username,
        name=user.name,
        master=user.id == master,
        email=user.email,
        category=str(user.category),
        time_zone=user.time_zone,
        created_at=dates.text(user.created_at),
        deleted_at=dates.maybe(user.deleted_at),
    )


@get("/users", opt=_ADMINISTER, tags=TAGS, summary="List users")
async def list_users(
    request: _Request,
    username: MaybeWord = None,
    name: MaybeWord = None,
    email: MaybeWord = None,
    category: MaybeWord = None,
    status: MaybeStatus = None,
) -> Collection[User]:
    """`username`, `name` and `email` match anywhere, in either case."""
    wanted, only = status_of(status), _category(category)
    service = services_of(request).accounts
    master, dates = await service.master(), await dates_of(request)
    return collection(
        shown(user, master, dates)
        for user in await service.users(deleted=True)
        if wanted.fits(user.deleted_at)
        and holds(user.username, username)
        and holds(user.name, name)
        and holds(user.email, email)
        and only in (None, user.category)
    )


@get("/users/{user_id:int}", opt={"right": Right.READ}, tags=TAGS, summary="Show a user")
async def show_user(request: _Request, user_id: Id) -> User:
    """Oneself, or for an administrator anybody."""
    identity = identity_of(request)
    if user_id != identity.user_id:
        authorize(identity, Right.ADMINISTER)
    return await _shown(request, await services_of(request).accounts.any_user(user_id))


@post(
    "/users",
    opt={**_ADMINISTER, "body": body_of(_FIELDS, required=("username", "password"))},
    tags=TAGS,
    summary="Add a user",
    status_code=201,
)
async def create_user(request: _Request) -> User:
    fields = await read_fields(request)
    take.only(fields, tuple(_FIELDS))
    category = _category(take.text(fields, "category", optional=True)) or Category.NORMAL
    user = await services_of(request).accounts.create_user(
        identity_of(request),
        username=take.text(fields, "username", longest=64),
        email=take.text(fields, "email", optional=True, longest=255),
        name=take.text(fields, "name", optional=True, longest=255),
        password=take.text(fields, "password", longest=1_000),
        role=_role(category),
        category=category,
        time_zone=take.text(fields, "time_zone", optional=True, longest=64) or "UTC",
    )
    return await _shown(request, user)


@patch(
    "/users/{user_id:int}",
    opt={**_ADMINISTER, "body": body_of({name: _FIELDS[name] for name in _FIELDS if name != "username"})},
    tags=TAGS,
    summary="Change a user",
)
async def change_user(request: _Request, user_id: Id) -> User:
    fields = await read_fields(request)
    take.only(fields, tuple(name for name in _FIELDS if name != "username"))
    service, identity = services_of(request).accounts, identity_of(request)
    changes = _changes(fields, await service.user(user_id))
    password = take.text(fields, "password", optional=True)
    if changes:
        await service.change_user(identity, user_id, **changes)
    if password:
        await service.set_password(identity, user_id, password)
    return await _shown(request, await service.user(user_id))


@delete(
    "/users/{user_id:int}",
    opt=_ADMINISTER,
    tags=TAGS,
    summary="Cancel a user; the record stays, and can be recovered",
    status_code=200,
)
async def delete_user(request: _Request, user_id: Id) -> User:
    service = services_of(request).accounts
    await service.delete_user(identity_of(request), user_id)
    return await _shown(request, await service.any_user(user_id))


@patch("/users/{user_id:int}/activate", opt=_ADMINISTER, tags=TAGS, summary="Recover a cancelled user")
async def activate_user(request: _Request, user_id: Id) -> User:
    restored = await services_of(request).accounts.restore_user(identity_of(request), user_id)
    return await _shown(request, restored)


async def _shown(request: _Request, user: accounts.User) -> User:
    return shown(user, await services_of(request).accounts.master(), await dates_of(request))


def _changes(fields: Fields, user: accounts.User) -> dict[str, Any]:
    """A user becomes an administrator with the category Admin, and a member when it is taken away."""
    changes: dict[str, Any] = {
        name: take.text(fields, name, optional=name != "time_zone", longest=255)
        for name in ("name", "email", "time_zone")
        if name in fields
    }
    if "category" in fields:
        category = _category(take.text(fields, "category"))
        changes["category"] = category
        if category is not None and Category.ADMIN in (category, user.category):
            changes["role"] = _role(category)
    return changes


def _category(word: str | None) -> Category | None:
    if not word:
        return None
    found = next((one for one in Category if one.lower() == word.lower()), None)
    if found is None:
        raise invalid("category", f"{word[:100]!r} is not a category.", value=word, permitted=_CATEGORIES)
    return found


def _role(category: Category) -> Role:
    return Role.ADMIN if category is Category.ADMIN else Role.MEMBER


ROUTES: list[Any] = [list_users, show_user, create_user, change_user, delete_user, activate_user]
