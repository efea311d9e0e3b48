"""One OpenAPI document for all chapters: Litestar's own, completed by what it cannot know.

A route that reads its body itself declares it by `opt={"body": body_of(…)}`, one that answers with a
file its media type by `opt={"file": …}`, one that streams records its media types by `opt={"streams": …}`,
one that answers with records of a resource by `opt={"lists": …}` or `opt={"shows": …}`; the answers to what
went wrong and the forms of credentials are the same everywhere and are added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from callwright.control.api.body import FORM, JSON, MULTIPART
from callwright.control.collections.model import MOST_ROWS, Kind, Operator, Resource, operators_of

Schema = dict[str, Any]

_ERRORS = {
    400: "The request cannot be understood.",
    401: "The credentials are missing or wrong.",
    403: "The role does not permit it.",
    404: "There is no such thing.",
    409: "It conflicts with what is there, or several projects have one of this name.",
    405: "The method is not permitted here.",
    422: "A value cannot be taken; `errors` name the address and what is permitted.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The storage does not answer; nothing was done.",
}
_FILE_ERRORS = {416: "The range is beyond the end of the file."}
_BODY_ERRORS = {
    413: "The body is too large.",
    415: "The type of the body is not taken here.",
}


def body_of(
    properties: Mapping[str, Schema],
    *,
    required: tuple[str, ...] = (),
    more: bool | Schema = False,
    texts: Mapping[str, str] | None = None,
    example: Mapping[str, Any] | None = None,
    optional: bool = False,
) -> Schema:
    """A request body: the same fields as form, multipart and JSON. `more`: other fields are taken too.
    `texts`: other media types that are taken as text, with what they hold.
    """
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": more}
    if required:
        schema["required"] = list(required)
    media: Schema = {"schema": schema}
    if example is not None:
        media["example"] = dict(example)
    content: Schema = dict.fromkeys((JSON, FORM, MULTIPART), media)
    for kind, what in (texts or {}).items():
        content[kind] = {"schema": {"type": "string", "description": what}}
    return {"required": not optional, "content": content}


def list_body_of(properties: Mapping[str, Schema]) -> Schema:
    """The body of a change of several records: a JSON list of objects with an `id` each."""
    one = {
        "type": "object",
        "properties": {"id": {"type": "integer"}, **properties},
        "required": ["id"],
        "additionalProperties": False,
    }
    return {"required": True, "content": {JSON: {"schema": {"type": "array", "items": one}}}}


def fields_of(resource: Resource, names: Iterable[str]) -> dict[str, Schema]:
    """Properties of a resource as a body has them; a name that is none of them is a text."""
    found: dict[str, Schema] = {}
    for name in names:
        known = resource.by_name.get(name)
        if known is None:
            found[name] = text("")
            continue
        schema = (
            {"type": "array", "items": {"type": "integer"}} if known.kind is Kind.IDS else _KINDS[known.kind]
        )
        found[name] = {**schema, "description": known.description}
        if known.nullable:
            found[name]["type"] = [schema["type"], "null"]
    return found


def text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _row(resource: Resource) -> Schema:
    properties = {
        one.name: {**_KINDS[one.kind], **({"description": one.description} if one.description else {})}
        for one in resource.properties
    }
    for one in resource.properties:
        if one.nullable:
            properties[one.name]["type"] = [properties[one.name]["type"], "null"]
    return {"type": "object", "properties": properties}


def _asked_of(resource: Resource) -> list[Schema]:
    """The parameters of a list, with the properties that each takes."""
    orderable, filterable = list(resource.orderable), [one for one in resource.properties if one.filterable]
    each = "; ".join(f"`{one.name}` ({_operators(one.kind)})" for one in filterable)
    what = (
        'A JSON list of `{"property", "operator", "value"}`; all of them hold. `{"or": [...]}` and '
        f'`{{"and": [...]}}` nest. Filterable: {each}.'
    )
    included = {"include": ("Records beside each row.", {"enum": list(resource.includes)})}
    found = {
        "page": ("From 1.", {"type": "integer", "minimum": 1}),
        "limit": (f"Rows of a page; {MOST_ROWS} at most are given.", {"type": "integer", "minimum": 1}),
        "sort": ("", {"type": "string", "enum": orderable}),
        "dir": ("", {"type": "string", "enum": ["ASC", "DESC"]}),
        "filter": (what, {"type": "string"}),
        "group_by": (_grouped(resource), {"type": "string", "enum": orderable}),
        f"fields[{resource.name}]": ("Properties of each row, with commas.", {"type": "string"}),
        **(included if resource.includes else {}),
    }
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in found.items()
    ]


def _operators(kind: Kind) -> str:
    permitted = operators_of(kind)
    return f"{kind.value}: {' '.join(one.value for one in Operator if one in permitted)}"


def _grouped(resource: Resource) -> str:
    summed = f" and the sums of {', '.join(resource.summed)}" if resource.summed else ""
    return f"One row for each value, with `count`{summed}."


_KINDS: Mapping[Kind, Schema] = {
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.TEXT: {"type": "string"},
    Kind.FLAG: {"type": "boolean"},
    Kind.DATE: {"type": "string", "example": "2026-11-29 09:00:00"},
    Kind.LABELS: {"type": "array", "items": {"type": "string"}},
    # With `include=` of the same name the records stand there in place of their ids.
    Kind.IDS: {"type": "array", "items": {"type": ["integer", "object"]}},
    Kind.OBJECT: {"type": "object"},
}


def complete(app: Litestar, error: type) -> Schema:
    """The document of the application's routes, ready to be encoded; `error`: the body of refusals."""
    schema: Schema = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components((error,), ref_template="#/components/schemas/{name}")
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        operations = schema["paths"].get(route.path_format)
        if operations is None:
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                operation = operations.get(method.lower())
                if operation is not None:
                    _complete(operation, handler, error.__name__)
    schema["components"].setdefault("securitySchemes", {}).update(
        {
            "basic": {
                "type": "http",
                "scheme": "basic",
                "description": "`public_key:secret`, `user_id:token`, or `username:password` of an API user.",
            },
            "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
            "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "A token."},
        }
    )
    return _short_names(schema)


def _complete(operation: Schema, handler: HTTPRouteHandler, error: str) -> None:
    body = handler.opt.get("body")
    if body is not None:
        operation["requestBody"] = body
    responses = operation.setdefault("responses", {})
    listed: Any = handler.opt.get("lists")
    shown: Any = handler.opt.get("shows", listed)
    if listed is not None:
        operation["parameters"] = [*operation.get("parameters", ()), *_asked_of(listed)]
    if shown is not None:
        row = _row(shown)
        data = row if listed is None else {"type": "array", "items": row}
        beside = {"links": {"type": "object"}} if listed is None else {"total": {"type": "integer"}}
        schema = {"type": "object", "properties": {"data": data, **beside}}
        for status in [one for one in responses if one in ("200", "201")]:
            responses[status]["content"] = {JSON: {"schema": schema}}
    errors = dict(_ERRORS) | (_BODY_ERRORS if body is not None else {})
    kind = handler.opt.get("file")
    if kind is not None:
        errors |= _FILE_ERRORS
        octets: Schema = {kind: {"schema": {}}}
        responses["200"] = {"description": "The file.", "content": octets}
        responses["206"] = {"description": "The part of it that Range asks for.", "content": octets}
        responses["304"] = {"description": "It is the one that If-None-Match names."}
    streamed: tuple[str, ...] = handler.opt.get("streams", ())
    if streamed:
        contents: Schema = {media: {"schema": {}} for media in streamed}
        responses["200"] = {"description": "Everything, streamed.", "content": contents}
    written: tuple[str, ...] = handler.opt.get("documents", ())
    if written:
        documents: Schema = {media: {"schema": {}} for media in written}
        responses["200"] = {"description": "The document.", "content": documents}
    if handler.opt.get("open"):
        operation["security"] = []
    else:
        operation["security"] = [{"basic": []}, {"bearer": []}, {"token": []}]
    for status, description in errors.items():
        responses[str(status)] = {
            "description": description,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{error}"}}},
        }


def _short_names(schema: Schema) -> Schema:
    """`Page_callwright.control.api.testing.schemas.RunRow_` is `PageRunRow` to people."""
    text = msgspec.json.encode(schema).decode()
    for name in sorted(schema["components"]["schemas"], key=len, reverse=True):
        if "." in name:
            short = re.sub(r"callwright\.[a-z.]+\.", "", name).replace("list_", "List").replace("_", "")
            text = text.replace(f'"{name}"', f'"{short}"').replace(f'/{name}"', f'/{short}"')
    renamed: Schema = msgspec.json.decode(text)
    return renamed
