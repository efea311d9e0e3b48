"""Settings of a verb as TOML: a key for each flag. The flag wins, then the variable, then the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from callwright.host.operator import Refused


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """The file's keys become the defaults of the flags. Raises Refused for a key that is none."""
    import tomllib

    if path is None:
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"--config {path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refused(f"--config {path} is not TOML: {error}") from None
    parameters: dict[str | None, Any] = {parameter.name: parameter for parameter in context.command.params}
    known = parameters.keys() - {"config", "verbose"}
    defaults: dict[str, Any] = {}
    for key, value in found.items():
        if key not in known:
            raise Refused(
                f"--config {path}: {key!r} is no setting", f"Permitted: {', '.join(sorted(map(str, known)))}."
            )
        several = getattr(parameters[key], "multiple", False)
        if isinstance(value, dict) or (isinstance(value, list) and not several):
            raise Refused(f"--config {path}: {key} must be one value")
        defaults[key] = [value] if several and not isinstance(value, list) else value
    context.default_map = defaults
    return path
