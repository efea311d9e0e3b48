"""SIP accounts."""

from __future__ import annotations

import csv
from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.api import fields as take
from callwright.control.api.access import schemas, translate
from callwright.control.api.answers import Data, Deleted
from callwright.control.api.auth import identity_of
from callwright.control.api.body import CSV, Fields, read_document, read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import ApiProblem, field_error, invalid
from callwright.control.api.request import MaybeWord, services_of
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


@get("/credentials", opt={"right": Right.READ}, tags=TAGS, summary="List SIP accounts, without passwords")
async def list_credentials(request: _Request) -> Data[list[schemas.Credential]]:
    records = await services_of(request).credentials.list(identity_of(request))
    return Data(data=[translate.credential(record) for record in records])


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
async def create_credential(request: _Request) -> Data[schemas.Credential]:
    fields = await read_fields(request)
    project_id = await _project_id(request, fields)
    wanted = _credential(fields)
    name = wanted.pop("name")
    record = await services_of(request).credentials.put(
        identity_of(request), name, wanted, project_id=project_id
    )
    return Data(data=translate.credential(record), status=201)


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
async def import_credentials(request: _Request, project: MaybeWord = None) -> Data[schemas.Imported]:
    """They go to the project of the query; without, where a single account would go."""
    found = await read_document(request, CSV)
    rows = _rows(found if isinstance(found, str) else take.text(found, "csv", longest=2**21))
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
    return Data(data=schemas.Imported(created=created, updated=len(rows) - created))


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
) -> Data[schemas.Credential]:
    """`project`: of which, where several have one of this name."""
    fields = await read_fields(request)
    take.only(fields, [key for key in _CREDENTIAL if key != "name"])
    wanted = {key: take.text(fields, key, optional=True) for key in fields}
    _transport(wanted.get("transport", ""))
    known = await _known_credential(request, name, project)
    merged = {key: getattr(known, key) for key in _CREDENTIAL if key not in ("name", "password")} | wanted
    record = await services_of(request).credentials.put(
        identity_of(request), name, merged, replace=True, project_id=known.project_id
    )
    return Data(data=translate.credential(record))


@delete(
    "/credentials/{name:str}",
    opt={"right": Right.CREDENTIALS},
    tags=TAGS,
    summary="Remove a SIP account",
    status_code=200,
)
async def delete_credential(
    request: _Request, name: FromPath[str], project: MaybeWord = None
) -> Data[Deleted]:
    """`project`: of which, where several have one of this name."""
    known = await _known_credential(request, name, project)
    await services_of(request).credentials.delete(identity_of(request), name, known.project_id)
    return Data(data=Deleted(deleted=name))


async def _known_credential(request: _Request, name: str, project: str | None) -> Credential:
    services, identity = services_of(request), identity_of(request)
    owner = (await services.projects.get(identity, project)).id if project else None
    return await services.credentials.get(identity, name, owner)


async def _project_id(request: _Request, fields: Fields) -> int | None:
    """Of the field `project`; without it where the caller's accounts go."""
    services, identity = services_of(request), identity_of(request)
    name = take.text(fields, "project", optional=True, longest=255)
    if name:
        return (await services.projects.get(identity, name)).id
    return services.credentials.own_project(identity)


def _credential(fields: Fields) -> dict[str, str]:
    take.only(fields, (*_CREDENTIAL, "project"))
    take.text(fields, "name", longest=64)
    take.text(fields, "user", longest=255)
    found = {key: take.text(fields, key, optional=True) for key in fields if key != "project"}
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


ROUTES: list[Any] = [
    list_credentials,
    create_credential,
    import_credentials,
    change_credential,
    delete_credential,
]
