"""What `include=` puts beside rows: the records that they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Request

from callwright.control.api.auth import identity_of
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, cut, dated, single
from callwright.control.collections.model import MOST_ROWS, Compare, Operator, Query, Resource
from callwright.control.lines.model import PEOPLE

__all__ = ["add_users", "record_of", "several"]


async def record_of(
    request: Request[Any, Any, Any],
    resource: Resource,
    row: dict[str, object],
    properties: Sequence[str] = ("users",),
) -> dict[str, Any]:
    """One record as the chapter answers it: the fields that were asked for, and what is included."""
    return single((await several(request, resource, asked(request, resource), [row], properties))[0])


async def several(
    request: Request[Any, Any, Any],
    resource: Resource,
    query: Query,
    rows: Sequence[dict[str, object]],
    properties: Sequence[str] = ("users",),
) -> list[dict[str, Any]]:
    """As `record_of`, of each. ``properties``: which name the users that may be included."""
    data: list[dict[str, Any]] = [cut(resource, query, dated(resource, row)) for row in rows]
    if "users" in query.include:
        await add_users(request, query, rows, data, properties)
    return data


async def add_users(
    request: Request[Any, Any, Any],
    query: Query,
    rows: Sequence[dict[str, object]],
    shown: Sequence[dict[str, Any]],
    properties: Sequence[str],
) -> None:
    """`users` of each row that is shown: those that its ``properties`` name, in their order, as far as the
    identity sees them; a property may be a list of ids. ``rows``: whole, of the same order."""
    named = [_ids(row, properties) for row in rows]
    wanted = tuple(sorted({one for ids in named for one in ids}))
    known: dict[int, dict[str, object]] = {}
    for first in range(0, len(wanted), MOST_ROWS):
        where = Compare("id", Operator.IN, wanted[first : first + MOST_ROWS])
        found = await services_of(request).lines.rows(identity_of(request), Query(where, limit=MOST_ROWS))
        known |= {int(str(row["id"])): dated(PEOPLE, row) for row in found.rows}
    fields = query.fields.get(PEOPLE.name)
    for row, ids in zip(shown, named, strict=True):
        row["users"] = [
            {name: value for name, value in known[one].items() if fields is None or name in fields}
            for one in ids
            if one in known
        ]


def _ids(row: dict[str, object], properties: Sequence[str]) -> tuple[int, ...]:
    found: list[object] = []
    for value in (row.get(name) for name in properties):
        found += value if isinstance(value, list | tuple) else [value]
    return tuple(dict.fromkeys(int(str(value)) for value in found if value is not None))
