"""The query of a request: what a route does not know is refused, since a filter that is mistyped and left out
shows what nobody asked for."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from litestar.handlers.base import BaseRouteHandler

from callwright.control.api.problems import invalid

__all__ = ["check_query"]


def check_query(octets: bytes, handler: BaseRouteHandler) -> None:
    """Raises 422 for a name that the route does not take, or that comes twice. A route that takes none does
    not look at its query."""
    if not octets:
        return
    permitted = _taken(handler.fn)
    if not permitted:
        return
    seen = set()
    for name, value in parse_qsl(octets.decode("utf-8"), keep_blank_values=True):
        if name not in permitted:
            raise invalid(
                name[:200],
                f"{name[:100]!r} is not taken here. Permitted: {', '.join(permitted)}.",
                value=value,
                permitted=permitted,
            )
        if name in seen:
            raise invalid(name, f"{name} is given twice.", value=value)
        seen.add(name)


@lru_cache(maxsize=256)
def _taken(function: Any) -> tuple[str, ...]:
    """What may be absent comes from the query; all else from the path. Header parameters are left out. A word
    that Python keeps for itself has an underscore behind it."""
    found = inspect.signature(function).parameters.values()
    return tuple(
        one.name.removesuffix("_")
        for one in found
        if one.default is not inspect.Parameter.empty and "HeaderParameter" not in str(one.annotation)
    )
