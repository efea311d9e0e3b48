"""Call detail records as files: read in from other systems, and given out whole; and what calls cost."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response, get, post, put
from litestar.response import Stream

from callwright.control.accounts.model import Right, zone_named
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_octets, text_of
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, dated, single
from callwright.control.cdrs.foreign import FORMATS, Wrong, read
from callwright.control.cdrs.model import CDRS
from callwright.control.cdrs.rates import read_rates
from callwright.control.collections.reading import read_query
from callwright.control.errors import Invalid

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_ADMINISTER: dict[str, Any] = {"right": Right.ADMINISTER}
_LARGEST = 16 * 1024 * 1024  # octets of a file that is read in
_KINDS = {"csv": "text/csv", "jsonl": "application/jsonl"}
#: What a spreadsheet would take for a formula; a number with a plus is none.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![0-9. ]*$)")


@get("/cdrs/export", opt=_READ | {"streams": tuple(_KINDS.values())})
async def export_cdrs(request: _Request) -> Stream:
    """All that fit `filter`, in the order of their ids, as `format` says: csv (RFC 4180) or jsonl, one JSON
    object a line. `fields[cdrs]` chooses columns. However many there are, few are held at once."""
    octets: bytes = request.scope["query_string"]
    given = parse_qsl(octets.decode("utf-8"), keep_blank_values=True)
    kind = next((value for name, value in given if name == "format"), "csv")
    if kind not in _KINDS:
        raise Invalid(f"format is {kind[:40]!r}. Permitted: {', '.join(_KINDS)}.", field="format")
    unknown = [name for name, _ in given if name in ("page", "limit", "sort", "dir", "group_by", "include")]
    if unknown:
        raise Invalid(f"{unknown[0]} is not taken here: everything is given out.", field=unknown[0])
    query = read_query(CDRS, [(name, value) for name, value in given if name != "format"])
    columns = query.fields.get(CDRS.name) or tuple(CDRS.by_name)
    pages = services_of(request).cdrs.everything(identity_of(request), query.where)
    # The first is waited for, so that what is wrong is an answer and no torn stream.
    first: list[dict[str, object]] = await anext(pages, [])
    make = _as_csv if kind == "csv" else _as_json_lines
    headers = {
        "Content-Disposition": f'attachment; filename="cdrs.{kind}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Stream(make(columns, first, pages), media_type=_KINDS[kind], headers=headers)


async def _as_csv(
    columns: Sequence[str], first: list[dict[str, object]], pages: AsyncIterator[list[dict[str, object]]]
) -> AsyncGenerator[bytes, None]:
    yield _lines([columns])
    async for rows in _all(first, pages):
        yield _lines([[_cell(row[name]) for name in columns] for row in rows])


async def _as_json_lines(
    columns: Sequence[str], first: list[dict[str, object]], pages: AsyncIterator[list[dict[str, object]]]
) -> AsyncGenerator[bytes, None]:
    async for rows in _all(first, pages):
        yield b"".join(msgspec.json.encode({name: row[name] for name in columns}) + b"\n" for row in rows)


async def _all(
    first: list[dict[str, object]], pages: AsyncIterator[list[dict[str, object]]]
) -> AsyncIterator[list[dict[str, object]]]:
    yield [dated(CDRS, row) for row in first]
    async for rows in pages:
        yield [dated(CDRS, row) for row in rows]


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """Names and agents come from strangers: an apostrophe keeps a spreadsheet from computing them."""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


@post("/cdrs/import", opt=_ADMINISTER, status_code=200)
async def import_cdrs(request: _Request) -> dict[str, Any]:
    """The body is a file of another system, at most 16 MiB: `format` asterisk (CSV), freeswitch (JSON) or
    kamailio (the table acc as CSV). Reading one twice adds nothing. `time_zone`: of times that name none."""
    given = request.query_params
    unknown = [name for name in given if name not in ("format", "time_zone")]
    if unknown:
        raise Invalid(
            f"{unknown[0][:40]!r} is not taken. Permitted: format, time_zone.", field=unknown[0][:40]
        )
    form = given.get("format", "")
    if form not in FORMATS:
        raise Invalid(f"format is {form[:40]!r}. Permitted: {', '.join(FORMATS)}.", field="format")
    text = text_of(await read_octets(request, _LARGEST), "The file")
    records, wrong = await asyncio.to_thread(read, form, text, zone_named(given.get("time_zone", "UTC")))
    added = await services_of(request).cdrs.add(identity_of(request), form, records) if records else 0
    told = {"imported": added, "already_there": len(records) - added, "errors": _told(wrong)}
    return single(told)


@post("/cdrs/rate", opt=_ADMINISTER, status_code=200)
async def rate_cdrs(request: _Request) -> dict[str, Any]:
    """Gives the records that fit `filter` their `rate` and `charge` anew, by the table of now."""
    query = asked(request, CDRS)
    rated = await services_of(request).cdrs.rate(identity_of(request), query.where)
    return single({"rated": rated})


@get("/rates", opt=_READ)
async def list_rates(request: _Request) -> dict[str, Any]:
    """The table of prefixes, whole."""
    rates = await services_of(request).cdrs.rates()
    return {"data": [msgspec.structs.asdict(one) for one in rates], "total": len(rates)}


@put("/rates", opt=_ADMINISTER)
async def put_rates(request: _Request) -> Response[dict[str, Any]]:
    """Replaces the table by a CSV with a heading: prefix, rate (for a minute), and if given name, connect
    (for the call), first and next (seconds, as 60/60). With an error in any line nothing is replaced."""
    text = text_of(await read_octets(request, _LARGEST), "The table")
    rates, wrong = await asyncio.to_thread(read_rates, text)
    if wrong:
        first = f"Line {wrong[0].line}: {wrong[0].message}"
        errors = [
            {"message": f"Line {one.line}: {one.message}", "field": f"line {one.line}"} for one in wrong
        ]
        raise Invalid(first, errors=errors)
    await services_of(request).cdrs.replace_rates(identity_of(request), rates)
    return Response(single({"prefixes": len(rates)}))


def _told(wrong: Sequence[Wrong]) -> list[dict[str, object]]:
    return [{"line": one.line, "message": one.message} for one in wrong]


ROUTES: list[Any] = [export_cdrs, import_cdrs, rate_cdrs, list_rates, put_rates]
