"""Pools: how many servers of which kind are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DEFAULT_POOL", "Pool", "PoolError"]

DEFAULT_POOL = "default"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z")
_LARGEST = 100_000


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
                f"Invalid pool name {self.name!r}: use 1 to 63 lower-case letters, digits, '.', '_' or '-', "
                "with a letter or digit at both ends.",
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
