"""What others build on, as sorted lines of text: commands, flags, variables, keys, routes, metrics.

`make surface` writes `surface.txt` anew; read its diff before you commit it.
Facts are asked of the program itself where that is possible, so that rooms may move without a change here.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import re
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from callwright.cli import console, main
from callwright.control.app import create_app, create_litestar
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from callwright.outcome.call import CallOutcome
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import RunOutcome

ROOT = Path(__file__).parents[2]
WRITTEN = Path(__file__).with_name("surface.txt")
VERDICTS = ("passed", "failed", "invalid", "error", "canceled")
DOCUMENTS: Mapping[str, Any] = {
    "call --json": CallOutcome,
    "register --json": RegistrationOutcome,
    "options --json": RequestOutcome,
    "run.json": RunOutcome,
}
#: Leaves with the twin that it chose.
_GOING = {"flag load --python (hidden)"}


def facts() -> set[str]:
    found = {*_exits(), *_verbs(), *_variables(), *_settings(), *_documents(), *_pure_json()}
    with tempfile.TemporaryDirectory() as data:
        found |= asyncio.run(_platform(Path(data)))
    return found - _GOING


def read(path: Path = WRITTEN) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def write(found: set[str], path: Path = WRITTEN) -> None:
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    path.write_text("\n".join([*head, *sorted(found), ""]), encoding="utf-8")


# -- the command line


def _exits() -> Iterator[str]:
    for verdict in VERDICTS:
        yield f"exit {verdict} {console.exit_code(verdict)}"
    yield f"exit refused by policy {console.exit_code('error', 'policy')}"
    for what, arguments in (("version", ["--version"]), ("usage", ["call", "--no-such-flag"])):
        yield f"exit {what} {_run(arguments)[0]}"


def _verbs() -> Iterator[str]:
    root: Any = typer.main.get_command(main.app)
    yield from _verb("callwright", root)


def _verb(name: str, command: Any) -> Iterator[str]:
    yield f"command {name}"
    short = name.removeprefix("callwright ")
    for parameter in command.params:
        hidden = " (hidden)" if getattr(parameter, "hidden", False) else ""
        if not parameter.opts[0].startswith("-"):
            yield f"argument {short} {parameter.metavar or parameter.name.upper()}"
            continue
        for flag in (*parameter.opts, *parameter.secondary_opts):
            yield f"flag {short} {flag}{hidden}"
        given = parameter.envvar or ()
        for variable in [given] if isinstance(given, str) else given:
            yield f"variable {variable} of {short} {parameter.opts[-1]}"
    if hasattr(command, "list_commands"):
        for verb in command.list_commands(None):
            yield from _verb(f"{name} {verb}", command.get_command(None, verb))


def _variables() -> Iterator[str]:
    """Those that a page names and the code reads; the others are between processes of ours."""

    def named(paths: Iterable[Path]) -> set[str]:
        texts = (path.read_text(encoding="utf-8") for path in paths)
        return {name for text in texts for name in re.findall(r"\bCALLWRIGHT_[A-Z]+(?:_[A-Z]+)*\b", text)}

    pages = named([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    code = named([*ROOT.glob("src/**/*.py"), *ROOT.glob("*.py")])
    code |= {line.split()[1] for line in _verbs() if line.startswith("variable ")}
    yield from (f"variable {name}" for name in pages & code)


def _settings() -> Iterator[str]:
    """The keys of TOML files, from the sentence that refuses a key that is none."""
    root: Any = typer.main.get_command(main.app)
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "wrong.toml").write_text("no_such_key = 1\n")
        for verb in root.list_commands(None):
            flags = [flag for one in root.get_command(None, verb).params for flag in one.opts]
            if "--config" in flags:
                told = _run([verb, "--config", str(file)])[2]
                listed = re.search(r"Permitted: (.*)\.", told)
                assert listed, f"{verb} --config names no keys: {told}"
                for key in listed[1].split(", "):
                    yield f"setting {verb} {key}"


def _run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line, in this process."""
    out, err = io.TextIOWrapper(buffer := io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(arguments)
    return code, buffer.getvalue().decode(), err.getvalue()


# -- JSON


def _documents() -> Iterator[str]:
    for name, kind in DOCUMENTS.items():
        for key in _keys_of(kind):
            yield f"json {name} {key}"


def _keys_of(kind: Any, above: str = "") -> Iterator[str]:
    """The keys of a type as JSON: `received.gaps[].why`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            yield from _keys_of(one, above)
    elif origin in (tuple, list) and arguments:
        yield from _keys_of(arguments[0], f"{above}[]")
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            key = f"{above}.{field.name}".lstrip(".")
            yield key
            yield from _keys_of(hints[field.name], key)


def _pure_json() -> Iterator[str]:
    """Of verbs that open no socket: what they print. The others: tests/acceptance/test_json_keys.py."""
    for name, arguments in (
        ("mos", ["mos", "--json"]),
        ("catalogue", ["catalogue", "--json"]),
        ("catalogue NAME", ["catalogue", "basic_call", "--json"]),
        ("any that is refused", ["sip", "no-such-verb", "--json"]),
    ):
        _, out, _ = _run(arguments)
        for key in keys(json.loads(out)):
            yield f"json {name} {key}"


def keys(document: Any, above: str = "") -> Iterator[str]:
    """The keys of a document that was printed: `calls[].received.mos`."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            key = f"{above}.{name}".lstrip(".")
            yield key
            yield from keys(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from keys(value, f"{above}[]")


# -- HTTP


async def _platform(data: Path) -> set[str]:
    services = await Services.open(data, clock=ManualClock(), entropy=seeded_entropy(1), migrate=True)
    try:
        app = create_app(services, Settings())
        routes = create_litestar(services, Settings()).routes
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            chapters = ("api/v2", "api/v3", "v1.2/voipstudio")
            documents = [(await client.get(f"/{n}/openapi.json")).json() for n in chapters]
            await client.get("/healthz")
            metrics = (await client.get("/metrics")).text
    finally:
        await services.close()
    families = text_string_to_metric_families(metrics)
    found = {f"metric {one.name} {one.type}" for one in families if not one.name.endswith("_created")}
    for route in routes:
        methods = set(getattr(route, "methods", ())) - {"OPTIONS"}
        found |= {f"route {method} {_unnamed(route.path_format)}" for method in methods}
    return found | {line for document in documents for line in _operations(document)}


def _unnamed(path: str) -> str:
    """Without the names of its variables, which no client types."""
    return re.sub(r"{[^}]*}", "{}", path)


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"api {method.upper()} {_unnamed(path)}"
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "path":
                    yield f"{name} {parameter['in']} {parameter['name']}"
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{name} takes {media}"
                for key in _properties(content.get("schema", {}), document):
                    yield f"{name} takes {key}"
            for status, response in operation.get("responses", {}).items():
                yield f"{name} {status}" if status < "400" else f"api any {status}"
                if status.startswith("2"):
                    for content in response.get("content", {}).values():
                        for key in _properties(content.get("schema", {}), document):
                            yield f"{name} {status} {key}"


def _properties(
    schema: Mapping[str, Any], document: Mapping[str, Any], above: str = "", seen: tuple[str, ...] = ()
) -> Iterator[str]:
    reference = schema.get("$ref")
    if reference in seen:
        return
    if reference:
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        seen = (*seen, reference)
    for several in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(several, ()):
            yield from _properties(one, document, above, seen)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _properties(items, document, f"{above}[]", seen)
    for name, one in schema.get("properties", {}).items():
        key = f"{above}.{name}".lstrip(".")
        yield key
        yield from _properties(one, document, key, seen)


if __name__ == "__main__":
    write(facts())
