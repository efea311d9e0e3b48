"""A class of settings as flags, variables and a TOML file: declared there once, read here once.

The flag wins, then the variable, then the file, then the default. Whatever is wrong with a value is told with
the place where it was given: `--port`, `CALLWRIGHT_PORT`, or `callwright.toml:12: port`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import typer

from callwright.host.operator import Refused
from callwright.host.settings import Setting, SettingError, variable_of

_FILE = "callwright.cli.config"  # in the context's meta: (path, text)
_TABLES = "callwright.cli.tables"  # in the context's meta: tables of that file, by name


def settled(verb: Callable[..., int]) -> Callable[..., int]:
    """For Typer: a parameter of `verb` whose type is a class of settings becomes a flag for each field."""
    parameters: list[inspect.Parameter] = []
    classes: dict[str, Any] = {}
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        if dataclasses.is_dataclass(parameter.annotation):
            classes[parameter.name] = parameter.annotation
            parameters += _flags(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def run(context: typer.Context, **given: Any) -> int:
        for name, kind in classes.items():
            fields = [field.name for field in dataclasses.fields(kind) if field.name not in _tables(kind)]
            tables = {
                key: found for key, found in context.meta.get(_TABLES, {}).items() if key in _tables(kind)
            }
            given[name] = _filled(context, kind, {field: given.pop(field) for field in fields} | tables)
        return verb(**given)

    run.tables = frozenset().union(*map(_tables, classes.values()))  # type: ignore[attr-defined]
    own = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([own, *parameters])  # type: ignore[attr-defined]
    return run


def _tables(kind: Any) -> frozenset[str]:
    """Fields that only a file gives."""
    return frozenset(field.name for field in dataclasses.fields(kind) if field.metadata["setting"].table)


def _flags(kind: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        one: Setting = field.metadata["setting"]
        if one.table:
            continue
        annotation, default = hints[field.name], one.default
        if one.several:
            annotation, default = list[str] | None, None
        elif one.parse is not None:
            annotation = str if default is not None else str | None
        flag = one.flag or f"--{field.name.replace('_', '-')}"
        option = typer.Option(
            default,
            *flag.split(),
            envvar=variable_of(field.name) if one.variable else None,
            metavar=one.metavar,
            help=one.help,
            min=one.least,
            max=one.most,
            hidden=one.hidden,
        )
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=option
        )


def _filled(context: typer.Context, kind: Any, given: dict[str, Any]) -> Any:
    """Raises Refused."""
    values = {}
    for field in dataclasses.fields(kind):
        one: Setting = field.metadata["setting"]
        value = given.get(field.name)
        if value in (None, "", []):
            continue  # an empty text is as none
        try:
            values[field.name] = one.parse(value) if one.parse is not None else value
        except ValueError as error:
            raise _refused(context, SettingError(field.name, *error.args)) from None
    try:
        return kind(**values)
    except SettingError as error:
        raise _refused(context, error) from None


def _refused(context: Any, error: SettingError) -> Refused:
    return Refused(f"{source(context, error.name)}: {error.message}", error.remedy)


def source(context: Any, name: str) -> str:
    """Where the value of a parameter was given, for a sentence about it."""
    parameter = next((one for one in context.command.params if one.name == name), None)
    if parameter is None:
        return f"{context.meta[_FILE][0]}"
    place = getattr(context.get_parameter_source(name), "name", "")
    if place == "DEFAULT_MAP" and _FILE in context.meta:
        path, text = context.meta[_FILE]
        found = re.search(rf"^[ \t]*[\"']?{name}[\"']?[ \t]*=", text, re.MULTILINE)
        return f"{path}{f':{text.count(chr(10), 0, found.start()) + 1}' if found else ''}: {name}"
    if place == "ENVIRONMENT":
        return str(parameter.envvar)
    return str(parameter.opts[-1])


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """For the flag --config: the file's keys become the defaults of the flags. Raises Refused."""
    import tomllib

    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise Refused(f"--config {path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refused(f"--config {path} is not TOML: {error}") from None
    context.meta[_FILE] = path, text
    parameters: dict[str | None, Any] = {parameter.name: parameter for parameter in context.command.params}
    tables: frozenset[str] = getattr(context.command.callback, "tables", frozenset())
    known = (parameters.keys() - {"config", "verbose"}) | tables
    defaults: dict[str, Any] = {}
    for key, value in found.items():
        if key not in known:
            raise Refused(
                f"--config {path}: unknown setting {key!r}",
                f"Permitted: {', '.join(sorted(map(str, known)))}.",
            )
        if key in tables:
            if not isinstance(value, dict):
                raise Refused(f"--config {path}: {key} must be a table", f"For example: [{key}.NAME]")
            context.meta.setdefault(_TABLES, {})[key] = value
            continue
        several = getattr(parameters[key], "multiple", False)
        if isinstance(value, dict) or (isinstance(value, list) and not several):
            raise Refused(f"--config {path}: {key} must be one value")
        defaults[key] = [value] if several and not isinstance(value, list) else value
    context.default_map = defaults
    return path
