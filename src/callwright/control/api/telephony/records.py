"""The routes of a kind of record, the same for each: listed, made, shown, changed and deleted, alone and
together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import Identity, Right
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields, read_objects
from callwright.control.api.openapi import body_of, list_body_of
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, listed, single, with_id
from callwright.control.api.telephony.including import add_users, record_of, several
from callwright.control.collections.model import Query, Resource, Rows
from callwright.control.collections.reading import read_ids
from callwright.control.services import Services

__all__ = ["Records", "routes"]

_Request = Request[Any, Any, Any]


class Records(Protocol):
    """What the routes ask of a service. Each raises what `control.errors` has."""

    async def rows(self, identity: Identity, query: Query) -> Rows: ...
    async def get(self, identity: Identity, record_id: int) -> dict[str, object]: ...
    async def create(self, identity: Identity, fields: Mapping[str, Any]) -> dict[str, object]: ...
    async def change(
        self, identity: Identity, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]: ...
    async def delete(self, identity: Identity, record_ids: Sequence[int]) -> None: ...


def routes(
    path: str,
    resource: Resource,
    records: Callable[[Services], Records],
    *,
    properties: Mapping[str, Any],
    required: tuple[str, ...],
    right: Right,
    word: str,
) -> list[Any]:
    """``properties``: of a body, as OpenAPI has them; ``right``: to change anything; ``word``: of one."""
    reads: dict[str, Any] = {"right": Right.READ}
    writes: dict[str, Any] = {"right": right}
    shows = {"shows": resource}
    name = path.strip("/")

    @get(path, opt=reads | {"lists": resource}, operation_id=f"list_{name}", summary=f"List {name}")
    async def list_records(request: _Request) -> dict[str, Any]:
        query = asked(request, resource)
        found = await records(services_of(request)).rows(identity_of(request), query)
        answer = listed(resource, query, found)
        if "users" in query.include and query.group_by is None:
            await add_users(request, query, found.rows, answer["data"], ("users",))
        return answer

    @post(
        path,
        opt=writes | shows | {"body": body_of(properties, required=required)},
        status_code=201,
        operation_id=f"create_{name}",
        summary=f"Add a {word}",
    )
    async def create_record(request: _Request) -> dict[str, Any]:
        fields = await read_fields(request)
        row = await records(services_of(request)).create(identity_of(request), fields)
        return single(dated(resource, row))

    @get(f"{path}/{{record_id:int}}", opt=reads | shows, operation_id=f"get_{name}", summary=f"Show a {word}")
    async def get_record(request: _Request, record_id: FromPath[int]) -> dict[str, Any]:
        row = await records(services_of(request)).get(identity_of(request), record_id)
        return await record_of(request, resource, row)

    @patch(
        f"{path}/{{record_id:int}}",
        opt=writes | shows | {"body": body_of(properties)},
        operation_id=f"change_{name}",
        summary=f"Change a {word}",
    )
    async def change_record(request: _Request, record_id: FromPath[int]) -> dict[str, Any]:
        asked(request, resource)  # what is wrong with it is said before anything is changed
        fields = await read_fields(request)
        (row,) = await records(services_of(request)).change(identity_of(request), [(record_id, fields)])
        return await record_of(request, resource, row)

    @patch(
        path,
        opt=writes | {"body": list_body_of(properties)},
        operation_id=f"change_several_{name}",
        summary=f"Change several {name}",
        description="A list of objects with an `id` each: all of them are changed, or none.",
    )
    async def change_records(request: _Request) -> dict[str, Any]:
        query = asked(request, resource)
        changes = [with_id(fields) for fields in await read_objects(request)]
        rows = await records(services_of(request)).change(identity_of(request), changes)
        return {"data": await several(request, resource, query, rows), "total": len(rows)}

    @delete(
        f"{path}/{{which:str}}",
        opt=writes,
        status_code=204,
        operation_id=f"delete_{name}",
        summary=f"Delete {name}",
        description="Ids with commas; all of them or none.",
    )
    async def delete_records(request: _Request, which: FromPath[str]) -> None:
        await records(services_of(request)).delete(identity_of(request), read_ids(which))

    return [list_records, create_record, get_record, change_record, change_records, delete_records]
