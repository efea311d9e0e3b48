"""A result as JSON and back.

``to_json()`` gives plain dicts, lists, texts, numbers, booleans and None: every key is always there, what is
not known is None (never guessed, never NaN), times of day are UTC texts. ``from_json()`` reads it back.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self

Json = dict[str, Any]


def utc_text(unix_seconds: float | None) -> str | None:
    """``2026-11-22T13:55:41.123456Z`` for unix seconds."""
    if unix_seconds is None:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def unix_seconds(text: str | float | None) -> float | None:
    """The reverse of ``utc_text``; a number passes through. Raises ValueError for any other text."""
    if text is None or isinstance(text, int | float):
        return text
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


_TIMES_OF_DAY = frozenset({"started_at", "stopped_at"})


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples to what JSON knows; NaN and infinity to None; floats to six decimals."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if dataclasses.is_dataclass(value):
        return {
            f.name: utc_text(getattr(value, f.name))
            if f.name in _TIMES_OF_DAY
            else plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def _times_as_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: unix_seconds(item)
            if key in _TIMES_OF_DAY and isinstance(item, str)
            else _times_as_numbers(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_times_as_numbers(item) for item in value]
    return value


#: msgspec 0.22 ends the process when two threads convert to the same dataclass for the first time.
_READING = threading.Lock()


class AsJson:
    """Mixin: to and from the JSON of the type's own fields."""

    __slots__ = ()

    def to_json(self) -> Json:
        document: Json = plain(self)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises ``msgspec.ValidationError`` (a ValueError) for a wrong type. Unknown keys are ignored,
        absent ones take their default, so that an older or newer writer can be read."""
        import msgspec

        with _READING:
            return msgspec.convert(_times_as_numbers(document), cls, strict=False)
