"""The body of a request as fields: form-encoded, multipart and JSON are all the same to what comes after.

The size is bounded before anything is kept; text is UTF-8 without NUL; JSON is bounded in depth and number.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from callwright.control.api.problems import ApiProblem

MAX_BODY = 2 * 1024 * 1024  # octets; a document has at most 262,144 characters
MAX_FIELDS = 2_000
MAX_DEPTH = 32
_DRAIN = (
    64 * 1024 * 1024
)  # octets of a refused body that are read and thrown away, so that the answer arrives

FORM, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
CSV = ("text/csv", "text/plain")

Fields = dict[str, Any]
_TOO_DEEP = f"The JSON is nested deeper than {MAX_DEPTH} levels."


async def read_octets(request: Request[Any, Any, Any], limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises 413 for more than `limit` octets, 415 for a body that is compressed."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiProblem(415, "Send the body as it is, without Content-Encoding.")
    chunks: list[bytes] = []
    size = 0
    receive = request.receive
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise ApiProblem(400, "The connection ended before the body did.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if not message.get("more_body", False) or size > _DRAIN:
            break
    if size > limit:
        raise ApiProblem(413, f"The body is larger than {limit:,} octets.")
    return b"".join(chunks)


async def read_fields(request: Request[Any, Any, Any], limit: int = MAX_BODY) -> Fields:
    """Names and values. A name that a form repeats has a list. Raises ApiProblem 400, 413 or 415."""
    return fields_of(request, await read_octets(request, limit))


def fields_of(request: Request[Any, Any, Any], body: bytes) -> Fields:
    """Of a body that was read. Raises ApiProblem 400 or 415."""
    kind, options = _content_type(request)
    if not body:
        return {}
    if kind == JSON or (kind.startswith("application/") and kind.endswith("+json")):
        return json_object(body)
    if kind == FORM:
        return _gather(_form(body))
    if kind == MULTIPART:
        return _gather(_multipart(body, options.get("boundary", "")))
    raise ApiProblem(
        415,
        f"A body of type {kind or 'nothing'} is not taken here. Permitted: {FORM}, {MULTIPART}, {JSON}.",
        headers={"Accept-Post": f"{FORM}, {MULTIPART}, {JSON}"},
    )


async def read_document(request: Request[Any, Any, Any], kinds: tuple[str, ...]) -> str | Fields:
    """A text of one of `kinds` as it is, else the fields."""
    kind, _ = _content_type(request)
    if kind in kinds:
        return text_of(await read_octets(request), "The body")
    return await read_fields(request)


def _content_type(request: Request[Any, Any, Any]) -> tuple[str, dict[str, str]]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    charset = options.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise ApiProblem(415, f"The charset {charset[:40]} is not taken. Permitted: utf-8.")
    return kind.strip().lower(), options


def text_of(octets: bytes, what: str) -> str:
    """UTF-8 without NUL; raises 400."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiProblem(400, f"{what} is not valid UTF-8.") from None
    if "\0" in text:
        raise ApiProblem(400, f"{what} contains a NUL character.")
    return text.removeprefix("\ufeff")


async def read_objects(request: Request[Any, Any, Any], limit: int = MAX_BODY) -> list[Fields]:
    """A JSON list of objects, as for changes of several records. Raises ApiProblem 400, 413 or 415."""
    value = _json(await read_octets(request, limit))
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ApiProblem(400, 'The body must be a JSON list of objects, such as [{"id": 98}].')
    if len(value) > MAX_FIELDS or any(len(one) > MAX_FIELDS for one in value):
        raise ApiProblem(400, f"The body has more than {MAX_FIELDS:,} objects or fields.")
    return value


def json_object(body: bytes) -> Fields:
    """A JSON object, bounded; raises 400."""
    value = _json(body)
    if not isinstance(value, dict):
        raise ApiProblem(400, 'The body must be a JSON object, such as {"test.name": "basic_call"}.')
    if len(value) > MAX_FIELDS:
        raise ApiProblem(400, f"The body has more than {MAX_FIELDS:,} fields.")
    return value


def _json(body: bytes) -> Any:
    text = text_of(body, "The body")
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise ApiProblem(400, _TOO_DEEP) from None
    except msgspec.DecodeError as error:
        raise ApiProblem(400, f"The body is not JSON: {error}.") from None
    refuse_bad_text(value)
    return value


def refuse_bad_text(value: Any) -> None:
    """NUL and lone surrogates cannot be stored, and depth is bounded; raises 400. Level by level, so that a
    stranger's nesting costs no stack."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ApiProblem(400, _TOO_DEEP)
        level = _inside(level)


def _inside(level: list[Any]) -> list[Any]:
    """What the lists and objects of one level hold, its texts judged."""
    below: list[Any] = []
    for item in level:
        if isinstance(item, str):
            if "\0" in item:
                raise ApiProblem(400, "A text contains a NUL character.")
            if not item.isascii():
                try:
                    item.encode("utf-8")
                except UnicodeEncodeError:
                    raise ApiProblem(400, "A text contains half of a surrogate pair.") from None
        elif isinstance(item, dict):
            below += [*item, *item.values()]
        elif isinstance(item, list):
            below += item
    return below


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except UnicodeDecodeError:
        raise ApiProblem(400, "The form is not valid: percent-encoded UTF-8 is wanted.") from None
    except ValueError:
        raise ApiProblem(400, f"The form has more than {MAX_FIELDS:,} fields.") from None


def _multipart(body: bytes, boundary: str) -> list[tuple[str, str]]:
    if not boundary:
        raise ApiProblem(400, "The Content-Type of the multipart body names no boundary.")
    found: list[tuple[str, str]] = []
    name: str | None = None
    value = bytearray()
    try:
        with PushMultipartParser(boundary, max_segment_count=MAX_FIELDS, max_segment_size=MAX_BODY) as parser:
            for part in parser.parse(body):
                if isinstance(part, MultipartSegment):
                    name, value = part.name, bytearray()
                elif part:
                    value += part
                elif name is not None:
                    found.append((name, text_of(bytes(value), f"The field {name[:100]!r}")))
                    name = None
    except (MultipartError, UnicodeError, ValueError) as error:
        raise ApiProblem(400, f"The multipart body cannot be read: {error}.") from None
    return found


def _gather(pairs: list[tuple[str, str]]) -> Fields:
    fields: Fields = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    refuse_bad_text(fields)
    return fields
