"""What routes ask of a request, whatever their chapter: the services, the links, the bounds of parameters."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from litestar.params import PathParameter, QueryParameter

from callwright.control.services import Services, Settings
from callwright.dispatch.broker import Broker

Id = Annotated[int, PathParameter(ge=0, le=2**53)]
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
