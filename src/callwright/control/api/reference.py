"""The OpenAPI document as a page shows it: operations by chapter, their fields, an example, shapes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

#: Names in a shape: the text, and the schema of that name or "".
Words = tuple[tuple[str, str], ...]

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_JSON = "application/json"
_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a property. ``place``: path, query or header; empty in a body or a schema."""

    name: str
    kind: Words
    required: bool
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """``answers``: code, what it is, its media type. ``example``: a command to paste but for its URL, which
    ends in ``place``: the key is in $KEY, words in capitals are the reader's own."""

    anchor: str
    method: str
    path: str
    summary: str
    text: str
    open_to_all: bool
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[tuple[str, Words, str], ...]
    example: str
    place: str


@dataclass(frozen=True, slots=True)
class Chapter:
    name: str
    text: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    text: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """``errors``: codes that any operation may answer, and what they mean."""

    chapters: tuple[Chapter, ...]
    shapes: tuple[Shape, ...]
    errors: tuple[tuple[str, str], ...]


def reference(document: Schema) -> Reference:
    errors: dict[str, str] = {}
    by_tag: dict[str, list[Operation]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            tag = (told.get("tags") or ["platform"])[0]
            by_tag.setdefault(tag, []).append(_operation(method.upper(), path, told))
            errors |= {
                code: answer["description"] for code, answer in told["responses"].items() if code >= "4"
            }
    texts = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    return Reference(
        tuple(Chapter(name, texts.get(name, ""), tuple(found)) for name, found in by_tag.items() if found),
        tuple(
            Shape(name, schema.get("description", ""), _fields(schema))
            for name, schema in sorted(document["components"]["schemas"].items())
        ),
        tuple(sorted(errors.items())),
    )


def _operation(method: str, path: str, told: Schema) -> Operation:
    content: Schema = told.get("requestBody", {}).get("content", {})
    media: Schema = content.get(_JSON, {})
    schema: Schema = media.get("schema", {})
    body = _fields(schema)
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and more.get("description"):
        body += (Field("…", _words(more), False, more["description"]),)
    answers = [
        (code, _words(kept.get("schema", {})), "" if kind == _JSON else "any type" if kind == "*/*" else kind)
        for code, answer in told["responses"].items()
        if code < "4"
        for kind, kept in (answer.get("content") or {"": {}}).items()
    ]
    open_to_all = not told.get("security")
    return Operation(
        anchor=f"{method.lower()}{re.sub(r'[^a-z0-9]+', '-', path.lower())}".rstrip("-"),
        method=method,
        path=path,
        summary=told.get("summary", ""),
        text=told.get("description", ""),
        open_to_all=open_to_all,
        parameters=tuple(
            Field(
                one["name"],
                _words(one.get("schema", {})),
                bool(one.get("required")),
                one.get("description", ""),
                one["in"],
            )
            for one in told.get("parameters", ())
        ),
        body=body,
        answers=tuple(answers),
        example=_curl(method, None if not content else _example(media), open_to_all),
        place=re.sub(r"\{(\w+)[^}]*\}", lambda found: found[1].upper(), path),
    )


def _fields(schema: Schema) -> tuple[Field, ...]:
    required = schema.get("required", ())
    return tuple(
        Field(name, _words(told), name in required, _about(told))
        for name, told in schema.get("properties", {}).items()
    )


def _about(schema: Schema) -> str:
    """The description, then bounds and what it is if left out."""
    parts = [schema.get("description", "")]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        parts.append(f"{low} to {high}.")
    elif low is not None or high is not None:
        parts.append(f"At least {low}." if high is None else f"At most {high}.")
    if "maxLength" in schema:
        parts.append(f"At most {schema['maxLength']} characters.")
    if schema.get("default") not in (None, [], {}, ""):
        parts.append(f"Default: {json.dumps(schema['default'])}.")
    return " ".join(part for part in parts if part)


def _words(schema: Schema) -> Words:
    """A schema in words: "list of", "text or null", a name of a shape, the permitted values."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(_REF)
        return ((name, name),)
    choices: Sequence[Schema] = schema.get("oneOf") or schema.get("anyOf") or ()
    if choices:
        found: list[tuple[str, str]] = []
        for n, choice in enumerate(choices):
            found += [*([(" or ", "")] if n else []), *_words(choice)]
        return tuple(found)
    if "enum" in schema:
        return ((", ".join(json.dumps(value) for value in schema["enum"]), ""),)
    kind = schema.get("type")
    if kind == "array":
        return (("list of ", ""), *_words(schema.get("items", {})))
    if kind == "object":
        more = schema.get("additionalProperties")
        return (
            (("object of ", ""), *_words(more)) if isinstance(more, Mapping) and more else (("object", ""),)
        )
    return ((_TYPES.get(str(kind), str(kind) if kind else "any value"), ""),)


def _example(media: Schema) -> Any:
    if "example" in media:
        return media["example"]
    schema: Schema = media.get("schema", {})
    properties: Schema = schema.get("properties", {})
    named = schema.get("required") or list(properties)[:1]
    return {name: _value(name, properties.get(name, {})) for name in named}


def _value(name: str, schema: Schema) -> Any:
    choices: Sequence[Schema] = schema.get("oneOf") or schema.get("anyOf") or ()
    if choices:
        return _value(name, choices[0])
    if "enum" in schema:
        return schema["enum"][0]
    values: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return values.get(str(schema.get("type")), name.upper())


def _curl(method: str, body: Any, open_to_all: bool) -> str:
    parts = ["curl"] if open_to_all else ["curl", "-u", '"$KEY"']
    if method != "GET" and (method != "POST" or body is None):
        parts += ["-X", method]
    if body is not None:
        parts += ["-H", shlex.quote(f"Content-Type: {_JSON}"), "-d", shlex.quote(json.dumps(body))]
    return " ".join(parts)
