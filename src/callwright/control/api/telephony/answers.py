"""What answers of this chapter look like: `{"data": …, "links": {}}` and `{"data": […], "total": N}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from callwright.control.api.answers import utc
from callwright.control.api.body import Fields
from callwright.control.api.problems import ApiProblem, field_error
from callwright.control.collections.model import Kind, Query, Resource, Rows
from callwright.control.collections.reading import read_query

__all__ = ["Refusal", "asked", "cut", "dated", "listed", "single", "with_id"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """``field``: of the body or the query; null where it is none in particular."""

    field: str | None
    message: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    errors: list[Problem] = []


def asked(request: Request[Any, Any, Any], resource: Resource) -> Query:
    """Page, sort, filter and the rest of a request for a list. Raises Invalid."""
    octets: bytes = request.scope["query_string"]
    return read_query(resource, parse_qsl(octets.decode("utf-8"), keep_blank_values=True))


def listed(resource: Resource, query: Query, found: Rows) -> dict[str, Any]:
    """One page as the chapter writes it; of each row the fields that were asked for."""
    data = [dated(resource, row) for row in found.rows]
    if query.group_by is None:
        data = [cut(resource, query, row) for row in data]
    return {"data": data, "total": found.total}


def cut(resource: Resource, query: Query, row: Mapping[str, object]) -> dict[str, object]:
    """The row with those of its properties that were asked for; all of them where none was named."""
    wanted = query.fields.get(resource.name)
    return {name: value for name, value in row.items() if wanted is None or name in wanted}


def dated(resource: Resource, row: Mapping[str, object]) -> dict[str, object]:
    """The row with its dates as the chapter writes them."""
    known = resource.by_name
    return {
        name: utc(value)
        if isinstance(value, int | float) and name in known and known[name].kind is Kind.DATE
        else value
        for name, value in row.items()
    }


def single(data: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "links": {}}


def with_id(fields: Fields) -> tuple[int, Fields]:
    """One change of several: its id, and the rest. Raises ApiProblem."""
    which = fields.get("id")
    if isinstance(which, bool) or not isinstance(which, int) or not 0 < which < 2**53:
        raise ApiProblem(400, "Each change needs an id.", [field_error("id", "is missing, or is not an id.")])
    return which, {name: value for name, value in fields.items() if name != "id"}
