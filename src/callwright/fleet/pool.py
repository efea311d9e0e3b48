"""Pools: how many servers of which kind are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = ["DEFAULT_POOL", "SETTINGS", "Pool", "PoolError", "dormant", "with_settings"]

DEFAULT_POOL = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_PROVIDER = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")
_LONGEST, _MOST_ENTRIES = 255, 50
_LARGEST = 100_000
_NO_PROVIDERS = ("embedded", "private")  # of servers that no provider makes


class PoolError(ValueError):
    """A field of a pool has a value that it may not have. ``field``: its name, as in the API."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Pool:
    """The settings of one pool; the names are those of the API and of the settings file.

    ``sizes``: what to ask the provider for, the next one when one is out of stock. ``capacity``: calls at
    once on one server. ``buffer``: places for calls that are kept free. ``min_age_seconds``: a server is not
    retired younger; ``idle_seconds``: nor unless it had no call for so long; ``drain_seconds``: what a
    retired one has to finish its calls. ``max_created_per_hour``: the bound on spending, None for none.
    ``prices``: per hour, by size, in whatever currency its owner thinks. ``removed``: its servers are drained
    and no more are made.
    """

    name: str
    provider: str = "process"
    region: str = ""
    image: str = ""
    sizes: tuple[str, ...] = ("",)
    minimum: int = 0
    maximum: int = 10
    capacity: int = 10
    buffer: int = 0
    min_age_seconds: float = 60.0
    idle_seconds: float = 300.0
    drain_seconds: float = 600.0
    labels: Mapping[str, str] = field(default_factory=dict)
    max_created_per_hour: int | None = 100
    prices: Mapping[str, float] = field(default_factory=dict)
    removed: bool = False

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise PoolError(
                "name",
                f"Invalid pool name {self.name[:80]!r}: use 1 to 63 letters, digits, '.', '_' or '-', "
                "with a letter or digit first.",
            )
        if not _PROVIDER.match(self.provider) or self.provider in _NO_PROVIDERS:
            raise PoolError(
                "provider", f"Invalid provider {self.provider[:80]!r}: name one, such as process."
            )
        for name, least in (("minimum", 0), ("maximum", 0), ("capacity", 1), ("buffer", 0)):
            value = getattr(self, name)
            if not least <= value <= _LARGEST:
                raise PoolError(name, f"{name} is {value}: use {least} to {_LARGEST}.")
        if self.minimum > self.maximum:
            raise PoolError(
                "minimum",
                f"minimum {self.minimum} is above maximum {self.maximum}: the pool could never fill.",
            )
        for name in ("min_age_seconds", "idle_seconds", "drain_seconds"):
            value = getattr(self, name)
            if not 0 <= value <= 31 * 86_400:
                raise PoolError(name, f"{name} is {value:g}: use 0 to {31 * 86_400} seconds.")
        if self.max_created_per_hour is not None and not 0 <= self.max_created_per_hour <= _LARGEST:
            raise PoolError(
                "max_created_per_hour",
                f"max_created_per_hour is {self.max_created_per_hour}: use 0 to {_LARGEST}, or null.",
            )
        if not self.sizes:
            raise PoolError(
                "sizes", "sizes is empty: name at least one, or leave it out for the provider's own."
            )


#: What a person may set, by the names of the API and of the settings file.
SETTINGS = tuple(one.name for one in fields(Pool) if one.name not in ("name", "removed"))
_WHOLE = ("minimum", "maximum", "capacity", "buffer", "max_created_per_hour")
_SECONDS = ("min_age_seconds", "idle_seconds", "drain_seconds")


def dormant(name: str) -> Pool:
    """A pool that nobody has set up: the planner makes no server in it."""
    return Pool(name, maximum=0)


def with_settings(pool: Pool, settings: Mapping[str, Any]) -> Pool:
    """The pool with these settings in place of its own; numbers may be written as texts, as a form does.
    Raises PoolError."""
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in SETTINGS:
            raise PoolError(
                name, f"Unknown field {name[:80]!r} of a pool. Known fields: {', '.join(SETTINGS)}."
            )
        if name == "max_created_per_hour" and value in (None, ""):
            changes[name] = None
        elif name in _WHOLE:
            changes[name] = _whole(name, value)
        elif name in _SECONDS:
            changes[name] = _number(name, value)
        elif name == "sizes":
            listed = value.split(",") if isinstance(value, str) else value
            if not isinstance(listed, Sequence):
                raise PoolError(name, "sizes must be a list of texts.")
            changes[name] = tuple(_text(name, one).strip() for one in listed[:_MOST_ENTRIES])
        elif name in ("labels", "prices"):
            if not isinstance(value, Mapping) or len(value) > _MOST_ENTRIES:
                raise PoolError(name, f"{name} must be a mapping of at most {_MOST_ENTRIES} entries.")
            prices = name == "prices"
            changes[name] = {
                _text(name, key): _number(name, one) if prices else _text(name, one)
                for key, one in value.items()
            }
        else:
            changes[name] = _text(name, value)
    return replace(pool, **changes)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise PoolError(name, f"{name} must be a number, not {str(value)[:80]!r}.") from None
    if isinstance(value, bool) or not 0 <= number <= 1e9:
        raise PoolError(name, f"{name} is {str(value)[:80]!r}: use a number from 0 to 1e9.")
    return number


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        raise PoolError(name, f"{name} must be a whole number, not {str(value)[:80]!r}.")
    return int(number)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > _LONGEST:
        raise PoolError(name, f"{name} must be a text of at most {_LONGEST} characters.")
    return str(value)
