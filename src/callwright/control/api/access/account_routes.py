"""SIP accounts, API keys, users and projects."""

from __future__ import annotations

import csv
from typing import Any

from litestar import Request, delete, get, patch, post, put
from litestar.params import FromPath

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Category, Right, Role
from callwright.control.api.auth import identity_of
from callwright.control.api.body import CSV, Fields, read_document, read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import ApiProblem, field_error, invalid
from callwright.control.api.request import Flag, Id, MaybeWord, broker_of, services_of
from callwright.control.api.testing import schemas, translate, wishes
from callwright.control.api.testing.enrolment import agents_changed
from callwright.control.credentials.model import Credential
from callwright.scenario.parameter import TRANSPORTS

_Request = Request[Any, Any, Any]
TAGS = ["accounts"]
_MOST_ROWS = 10_000
_CREDENTIAL = {
    "name": text("The name that documents use: `credentials: office`."),
    "user": text("User part of its address."),
    "password": text("Never shown again."),
    "auth_user": text("Name to authenticate with, when it is another."),
    "domain": text("Its domain, a host with or without port."),
    "display_name": text("Shown to the called party."),
    "proxy": text("Proxy for all its requests."),
    "transport": text("", enum=["", *TRANSPORTS]),
}


# -- SIP accounts


@get("/credentials", opt={"right": Right.READ}, tags=TAGS, summary="List SIP accounts, without passwords")
async def list_credentials(request: _Request) -> schemas.Data[list[schemas.Credential]]:
    records = await services_of(request).credentials.list(identity_of(request))
    return schemas.Data(data=[translate.credential(record) for record in records])


@post(
    "/credentials",
    opt={
        "right": Right.CREDENTIALS,
        "body": body_of(
            _CREDENTIAL
            | {
                "project": text(
                    "The project that it belongs to; without one, an administrator's account belongs to all."
                )
            },
            required=("name", "user"),
            example={"name": "office", "user": "4101", "password": "secret", "domain": "pbx.example.com"},
        ),
    },
    tags=TAGS,
    summary="Add a SIP account",
    status_code=201,
)
async def create_credential(request: _Request) -> schemas.Data[schemas.Credential]:
    fields = await read_fields(request)
    project_id = await _project_id(request, fields)
    wanted = _credential(fields)
    name = wanted.pop("name")
    record = await services_of(request).credentials.put(
        identity_of(request), name, wanted, project_id=project_id
    )
    return schemas.Data(data=translate.credential(record), status=201)


@post(
    "/credentials/import",
    opt={
        "right": Right.CREDENTIALS,
        "body": body_of(
            {"csv": text("The same as a field.")},
            required=("csv",),
            texts={"text/csv": "First the names of the columns, then an account a line."},
        ),
    },
    tags=TAGS,
    summary="Import SIP accounts from CSV: new ones are added, known ones changed",
    status_code=200,
)
async def import_credentials(request: _Request, project: MaybeWord = None) -> schemas.Data[schemas.Imported]:
    """They go to the project of the query; without, where a single account would go."""
    found = await read_document(request, CSV)
    rows = _rows(found if isinstance(found, str) else wishes.text(found, "csv", longest=2**21))
    identity = identity_of(request)
    project_id = await _project_id(request, {"project": project or ""})
    known = {
        record.name
        for record in await services_of(request).credentials.list(identity)
        if record.project_id == project_id
    }
    created = sum(row["name"] not in known for row in rows)
    for row in rows:
        name = row.pop("name")
        await services_of(request).credentials.put(identity, name, row, replace=True, project_id=project_id)
    return schemas.Data(data=schemas.Imported(created=created, updated=len(rows) - created))


@patch(
    "/credentials/{name:str}",
    opt={
        "right": Right.CREDENTIALS,
        "body": body_of({key: value for key, value in _CREDENTIAL.items() if key != "name"}),
    },
    tags=TAGS,
    summary="Change a SIP account",
)
async def change_credential(
    request: _Request, name: FromPath[str], project: MaybeWord = None
) -> schemas.Data[schemas.Credential]:
    """`project`: of which, where several have one of this name."""
    fields = await read_fields(request)
    wishes.only(fields, [key for key in _CREDENTIAL if key != "name"])
    wanted = {key: wishes.text(fields, key, optional=True) for key in fields}
    _transport(wanted.get("transport", ""))
    known = await _known_credential(request, name, project)
    merged = {key: getattr(known, key) for key in _CREDENTIAL if key not in ("name", "password")} | wanted
    record = await services_of(request).credentials.put(
        identity_of(request), name, merged, replace=True, project_id=known.project_id
    )
    return schemas.Data(data=translate.credential(record))


@delete(
    "/credentials/{name:str}",
    opt={"right": Right.CREDENTIALS},
    tags=TAGS,
    summary="Remove a SIP account",
    status_code=200,
)
async def delete_credential(
    request: _Request, name: FromPath[str], project: MaybeWord = None
) -> schemas.Data[schemas.Deleted]:
    """`project`: of which, where several have one of this name."""
    known = await _known_credential(request, name, project)
    await services_of(request).credentials.delete(identity_of(request), name, known.project_id)
    return schemas.Data(data=schemas.Deleted(deleted=name))


async def _known_credential(request: _Request, name: str, project: str | None) -> Credential:
    services, identity = services_of(request), identity_of(request)
    owner = (await services.projects.get(identity, project)).id if project else None
    return await services.credentials.get(identity, name, owner)


async def _project_id(request: _Request, fields: Fields) -> int | None:
    """Of the field `project`; without it where the caller's accounts go."""
    services, identity = services_of(request), identity_of(request)
    name = wishes.text(fields, "project", optional=True, longest=255)
    if name:
        return (await services.projects.get(identity, name)).id
    return services.credentials.own_project(identity)


def _credential(fields: Fields) -> dict[str, str]:
    wishes.only(fields, (*_CREDENTIAL, "project"))
    wishes.text(fields, "name", longest=64)
    wishes.text(fields, "user", longest=255)
    found = {key: wishes.text(fields, key, optional=True) for key in fields if key != "project"}
    _transport(found.get("transport", ""))
    return found


def _transport(value: str) -> None:
    if value and value not in TRANSPORTS:
        raise invalid("transport", f"{value!r} is not a transport.", value=value, permitted=TRANSPORTS)


def _rows(content: str) -> list[dict[str, str]]:
    """Raises 422 that names the line."""
    reader = csv.DictReader(content.splitlines(), restkey="", strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        unknown = [name for name in names if name not in _CREDENTIAL]
        if unknown or "name" not in names or "user" not in names:
            what = (
                f"The column {unknown[0]!r} is not known."
                if unknown
                else "The columns name and user are needed."
            )
            raise invalid("csv", f"{what} The first line names the columns.", permitted=tuple(_CREDENTIAL))
        reader.fieldnames = names
        rows: list[dict[str, str]] = []
        for row in reader:
            if "" in row or any(value is None for value in row.values()):
                raise _bad_line(reader.line_num, "it has another number of columns than the first line")
            try:
                rows.append(_credential({key: value for key, value in row.items() if value}))
            except ApiProblem as problem:
                raise _bad_line(reader.line_num, problem.message) from None
            if len(rows) > _MOST_ROWS:
                raise _bad_line(reader.line_num, f"at most {_MOST_ROWS:,} accounts are taken at once")
    except csv.Error as error:
        raise _bad_line(reader.line_num, str(error)) from None
    return rows


def _bad_line(line: int, why: str) -> ApiProblem:
    message = f"Line {line} of the CSV: {why}"
    return ApiProblem(422, message, [field_error("csv", message) | {"line": line}])


# -- keys


@get(
    "/keys",
    opt={"right": Right.READ},
    tags=TAGS,
    summary="List API keys; an administrator sees those of all",
)
async def list_keys(request: _Request) -> schemas.Data[list[schemas.Key]]:
    identity = identity_of(request)
    records = await services_of(request).keys.list(identity, of_everybody=may(identity, Right.ADMINISTER))
    return schemas.Data(data=[translate.key(record) for record in records])


@post(
    "/keys",
    opt={
        "right": Right.READ,
        "body": body_of(
            {
                "name": text("What the key is for."),
                "project": text("Works in this project only; without it, wherever its owner is a member."),
            },
            required=("name",),
        ),
    },
    tags=TAGS,
    summary="Make an API key; the secret is shown once",
    status_code=201,
)
async def create_key(request: _Request) -> schemas.Data[schemas.Key]:
    fields = await read_fields(request)
    wishes.only(fields, ("name", "project"))
    services, identity = services_of(request), identity_of(request)
    accounts = services.accounts
    owner = await accounts.user(identity.user_id)
    name = wishes.text(fields, "project", optional=True, longest=255)
    project = await services.projects.get(identity, name) if name else None
    public, secret = await services_of(request).keys.create(
        wishes.text(fields, "name", longest=200), owner, identity=identity, project=project
    )
    record = next(key for key in await services_of(request).keys.list(identity) if key.public_key == public)
    return schemas.Data(data=translate.key(record, secret), status=201)


@get("/keys/{key:str}/made", opt={"right": Right.READ}, tags=TAGS, summary="List what an API key made")
async def list_made(request: _Request, key: FromPath[str]) -> schemas.Data[list[schemas.Made]]:
    """What can be used still, made by the key or by a key that it made. `key`: its public part, or its id."""
    found = await services_of(request).keys.made_by(identity_of(request), _key(key))
    return schemas.Data(data=[translate.made(one) for one in found])


@delete("/keys/{key:str}", opt={"right": Right.READ}, tags=TAGS, summary="Revoke an API key", status_code=200)
async def revoke_key(
    request: _Request, key: FromPath[str], with_made: Flag = False
) -> schemas.Data[schemas.RevokedKey]:
    """`key`: its public part, or its id. `with_made`: revoke what it made too; what is left otherwise is in
    the answer.
    """
    services, identity = services_of(request), identity_of(request)
    also = await services.keys.revoke(identity, _key(key), with_made=with_made)
    for one in also:
        if one.kind == "agent":
            await agents_changed(broker_of(request), await services.agents.get(one.id), revoked=True)
    left = await services.keys.made_by(identity, _key(key))
    return schemas.Data(
        data=schemas.RevokedKey(
            deleted=key,
            also=[translate.made(one) for one in also],
            left=[translate.made(one) for one in left],
        )
    )


def _key(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


# -- users and projects

_ROLES, _CATEGORIES = tuple(role.value for role in Role), tuple(category.value for category in Category)


@get("/users", opt={"right": Right.ADMINISTER}, tags=TAGS, summary="List users")
async def list_users(request: _Request) -> schemas.Data[list[schemas.User]]:
    accounts = services_of(request).accounts
    memberships = await services_of(request).projects.members(identity_of(request))
    return schemas.Data(data=[translate.user(record, memberships) for record in await accounts.users()])


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
async def create_user(request: _Request) -> schemas.Data[schemas.User]:
    fields = await read_fields(request)
    wishes.only(fields, ("username", "email", "name", "password", "role", "category", "projects"))
    services, identity = services_of(request), identity_of(request)
    names = wishes.tags(fields.get("projects"), "projects")
    projects = [await services.projects.get(identity, name) for name in names]
    role = wishes.text(fields, "role", optional=True) or Role.MEMBER.value
    category = wishes.text(fields, "category", optional=True) or Category.NORMAL.value
    if role not in _ROLES:
        raise invalid("role", f"{role!r} is not a role.", value=role, permitted=_ROLES)
    if category not in _CATEGORIES:
        raise invalid("category", f"{category!r} is not a category.", value=category, permitted=_CATEGORIES)
    record = await services.accounts.create_user(
        identity,
        username=wishes.text(fields, "username", longest=64),
        email=wishes.text(fields, "email", optional=True, longest=255),
        name=wishes.text(fields, "name", optional=True, longest=255),
        password=wishes.text(fields, "password", longest=1_000),
        role=role,
        category=category,
    )
    if role != Role.ADMIN:
        for project in projects:
            await services.projects.put_member(identity, record, project, role)
    memberships = await services.projects.members(identity, user_id=record.id)
    return schemas.Data(data=translate.user(record, memberships), status=201)


@delete(
    "/users/{user_id:int}",
    opt={"right": Right.ADMINISTER},
    tags=TAGS,
    summary="Remove a user",
    status_code=200,
)
async def delete_user(request: _Request, user_id: Id) -> schemas.Data[schemas.Deleted]:
    await services_of(request).accounts.delete_user(identity_of(request), user_id)
    return schemas.Data(data=schemas.Deleted(deleted=str(user_id)))


@get("/projects", opt={"right": Right.READ}, tags=TAGS, summary="List projects")
async def list_projects(request: _Request) -> schemas.Data[list[schemas.Project]]:
    identity = identity_of(request)
    records = await services_of(request).projects.list(identity)
    return schemas.Data(data=[translate.project(record, identity) for record in records])


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
async def create_project(request: _Request) -> schemas.Data[schemas.Project]:
    fields = await read_fields(request)
    wishes.only(fields, ("name", "description"))
    record = await services_of(request).projects.create(
        identity_of(request),
        wishes.text(fields, "name", longest=255),
        wishes.text(fields, "description", optional=True, longest=10_000),
    )
    return schemas.Data(data=translate.project(record, identity_of(request)), status=201)


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
            },
            example={"max_running": 10},
        ),
    },
    tags=TAGS,
    summary="Limit how many runs of a project wait, and how many agents carry out at once",
)
async def limit_project(request: _Request, name: FromPath[str]) -> schemas.Data[schemas.Project]:
    """What is not named stays as it is."""
    fields = await read_fields(request)
    wishes.only(fields, ("max_running", "max_queued"))
    services, identity = services_of(request), identity_of(request)
    known = await services.projects.get(identity, name)
    wanted = {
        field: wishes.whole(fields, field) if field in fields else getattr(known, field)
        for field in ("max_running", "max_queued")
    }
    record = await services.projects.limit(identity, name, **wanted)
    return schemas.Data(data=translate.project(record, identity))


_ROLES_THERE = tuple(role for role in _ROLES if role != Role.ADMIN.value)


@get(
    "/projects/{name:str}/members",
    opt={"right": Right.READ},
    tags=TAGS,
    summary="List the members of a project",
)
async def list_members(request: _Request, name: FromPath[str]) -> schemas.Data[list[schemas.Member]]:
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    records = await services.projects.members(identity, project=project)
    return schemas.Data(data=[translate.member(record) for record in records])


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
async def put_member(
    request: _Request, name: FromPath[str], username: FromPath[str]
) -> schemas.Data[schemas.Member]:
    fields = await read_fields(request)
    wishes.only(fields, ("role",))
    role = wishes.text(fields, "role")
    if role not in _ROLES_THERE:
        raise invalid("role", f"{role!r} is not a role in a project.", value=role, permitted=_ROLES_THERE)
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    user = await services.accounts.user_by_name(username)
    await services.projects.put_member(identity, user, project, role)
    (record,) = await services.projects.members(identity, user_id=user.id, project=project)
    return schemas.Data(data=translate.member(record))


@delete(
    "/projects/{name:str}/members/{username:str}",
    opt={"right": Right.ADMINISTER},
    tags=TAGS,
    summary="Remove a member from a project",
    status_code=200,
)
async def remove_member(
    request: _Request, name: FromPath[str], username: FromPath[str]
) -> schemas.Data[schemas.Deleted]:
    services, identity = services_of(request), identity_of(request)
    project = await services.projects.get(identity, name)
    user = await services.accounts.user_by_name(username)
    await services.projects.remove_member(identity, user, project)
    return schemas.Data(data=schemas.Deleted(deleted=username))


ROUTES: list[Any] = [
    list_credentials,
    create_credential,
    import_credentials,
    change_credential,
    delete_credential,
    list_keys,
    create_key,
    list_made,
    revoke_key,
    list_users,
    create_user,
    delete_user,
    list_projects,
    create_project,
    limit_project,
    list_members,
    put_member,
    remove_member,
]
