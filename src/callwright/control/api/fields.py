"""Fields of a request, in its body or its query: what cannot be meant is refused with 422 and the name of the
field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from callwright.control.api.body import Fields
from callwright.control.api.problems import ApiProblem, field_error, invalid
from callwright.outcome.plain import unix_seconds


def tags(value: Any, address: str = "test.tags") -> tuple[str, ...]:
    """A list, a JSON text of a list, or words with commas."""
    if value is None or value == "":
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = msgspec.json.decode(value, type=list[str])
        except msgspec.MsgspecError:
            raise invalid(address, "The tags are not a JSON list of texts.", value=value) from None
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise invalid(address, "Tags are texts: a list, or words with commas.", value=value)
    return tuple(dict.fromkeys(stripped for item in items if (stripped := item.strip())))


def text(fields: Fields, name: str, *, optional: bool = False, longest: int = 1_000) -> str:
    """A text field; a number is taken as it is written. Raises 422."""
    value = fields.get(name)
    if value is None:
        if optional:
            return ""
        raise invalid(name, f"{name} is missing.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid(name, f"{name} must be a text.", value=value)
    found = str(value).strip()
    if not found and not optional:
        raise invalid(name, f"{name} is empty.")
    if len(found) > longest:
        raise invalid(
            name, f"{name} has {len(found)} characters; at most {longest} are permitted.", value=found
        )
    return found


def number(fields: Fields, name: str, *, default: float | None = None, above: float = 0.0) -> float | None:
    """A number above `above`, or the default; raises 422."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    try:
        found = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not above < found < 1e12:
        raise invalid(name, f"{name} must be a number above {above:g}.", value=value)
    return found


def only(fields: Fields, permitted: Sequence[str]) -> None:
    """Raises 422 for the fields that nobody would read."""
    unknown = [name for name in fields if name not in permitted]
    if unknown:
        raise ApiProblem(
            422,
            f"{unknown[0][:100]!r} is not taken here. Permitted: {', '.join(permitted)}.",
            [
                field_error(name[:200], "This field is not taken here.", permitted=permitted)
                for name in unknown[:20]
            ],
        )


def moment(value: str | None, address: str) -> float | None:
    """Unix seconds of a query's date: `2024-02-09`, `2024-02-09 08:20:18` (UTC), ISO 8601 or unix seconds."""
    if value is None or not value:
        return None
    try:
        plain = float(value)
        found: float | None = plain
    except ValueError:
        try:
            found = unix_seconds(
                value if _has_zone(value) else f"{value}+00:00" if len(value) > 10 else f"{value}T00:00:00Z"
            )
        except (ValueError, OverflowError):
            found = None
    if found is None or not 0 <= found < 1e11:
        raise invalid(
            address,
            f"{address} is not a date.",
            value=value,
            permitted=("YYYY-MM-DD HH:MM:SS", "unix seconds"),
        )
    return found


def _has_zone(value: str) -> bool:
    return value.endswith("Z") or "+" in value[10:] or "-" in value[10:]


def whole(fields: Fields, name: str, *, default: int | None = None) -> int | None:
    """A whole number from 0; raises 422."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    word = str(value)
    if isinstance(value, bool) or not word.isascii() or not word.isdigit() or len(word) > 15:
        raise invalid(name, f"{name} must be a whole number.", value=value)
    return int(word)


def ids(fields: Fields, name: str) -> list[int]:
    """A list of ids: JSON, a repeated form field, or numbers with commas. Raises 422."""
    value = fields.get(name)
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            raise invalid(name, f"{name} is not a JSON list of ids.", value=value) from None
    parts = value if isinstance(value, list) else str(value).split(",")
    if len(parts) > 1_000:
        raise invalid(name, f"{name} has {len(parts)} ids; at most 1,000 are permitted.")
    return [whole({name: part}, name) or 0 for part in parts]


_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def flag(fields: Fields, name: str) -> bool:
    """True or false, in JSON or in words. Raises 422."""
    word = str(fields.get(name)).lower()
    if word not in _FLAGS:
        raise invalid(name, f"{name} is true or false.", value=word, permitted=("true", "false"))
    return _FLAGS[word]
