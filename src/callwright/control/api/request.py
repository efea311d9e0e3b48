"""What routes ask of a request, whatever their chapter: the services, the links, the bounds of parameters."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from litestar import Request
from litestar.params import PathParameter, QueryParameter

from callwright.control.api.testing.translate import Links
from callwright.control.services import Services, Settings
from callwright.dispatch.broker import Broker

Id = Annotated[int, PathParameter(ge=0, le=2**53)]
Limit = Annotated[int, QueryParameter(ge=1, le=1_000)]
MaybeId = Annotated[int | None, QueryParameter(ge=0, le=2**53)]
MaybeWord = Annotated[str | None, QueryParameter(max_length=1_000)]
Flag = Annotated[bool, QueryParameter()]


def services_of(request: Request[Any, Any, Any]) -> Services:
    found: Services = request.app.state["services"]
    return found


def broker_of(request: Request[Any, Any, Any]) -> Broker | None:
    """None: there are no live events, and agents hear of a change when they look."""
    return services_of(request).broker


def settings_of(request: Request[Any, Any, Any]) -> Settings:
    found: Settings = request.app.state["settings"]
    return found


def links_of(request: Request[Any, Any, Any]) -> Links:
    """URLs start with the public URL if there is one, else with what the client called us."""
    public = settings_of(request).public_url
    if public:
        return Links(public.rstrip("/"))
    host = request.headers.get("host") or "localhost"
    return Links(f"{request.scope['scheme']}://{host}")


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
