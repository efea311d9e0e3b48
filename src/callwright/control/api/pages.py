"""Lists in pages: each names the URL of the next."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from callwright.control.api.links import links_of

T = TypeVar("T")
Limit = Annotated[int, QueryParameter(ge=1, le=1_000)]


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some of many. `next`: the URL of what comes after, null at the end."""

    data: list[T]
    next: str | None = None
    status: int = 200


def next_page(request: Request[Any, Any, Any], **last: int | str) -> str:
    """The URL of this list, going on after the row with the key `last`."""
    kept = _query_without(frozenset(last), request.scope["query_string"])
    return f"{links_of(request).base}{request.scope['path']}?{kept}{urlencode(last)}"


@lru_cache(maxsize=256)  # who polls a list asks with the same words
def _query_without(names: frozenset[str], query: bytes) -> str:
    """Ends with an ampersand when anything is left."""
    given = parse_qsl(query.decode(), keep_blank_values=True)
    kept = [(name, value) for name, value in given if name not in names]
    return f"{urlencode(kept)}&" if kept else ""
