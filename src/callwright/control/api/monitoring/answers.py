"""What the answers of this chapter have in common: lists, refusals, and dates in the caller's time zone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from litestar import Request

from callwright.control.accounts.model import zone_named
from callwright.control.api import fields as take
from callwright.control.api.answers import Problem
from callwright.control.api.auth import identity_of
from callwright.control.api.request import services_of
from callwright.control.errors import Invalid, NotFound

T = TypeVar("T")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    count: int


class Collection(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """All that fit the filters of the request."""

    collection: list[T]
    metadata: Metadata


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    errors: list[Problem] = []


def collection(rows: Iterable[T]) -> Collection[T]:
    found = list(rows)
    return Collection(collection=found, metadata=Metadata(count=len(found)))


class Dates:
    """Unix seconds as `YYYY-MM-DD HH:MM:SS` of one time zone, and back."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone

    def text(self, seconds: float) -> str:
        return datetime.fromtimestamp(math.floor(seconds), self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def maybe(self, seconds: float | None) -> str | None:
        return None if seconds is None else self.text(seconds)

    def moment(self, value: str | None, address: str) -> float | None:
        """Unix seconds of a query's date; one without a zone of its own is in this one. Raises 422. Of an
        hour that comes twice the first is meant."""
        if value and self._zone is not UTC:
            try:
                parsed = datetime.fromisoformat(value)
            except ValueError:
                return take.moment(value, address)
            if parsed.tzinfo is None:
                return parsed.replace(tzinfo=self._zone).timestamp()
        return take.moment(value, address)


async def dates_of(request: Request[Any, Any, Any]) -> Dates:
    """In the time zone of the caller's account."""
    try:
        user = await services_of(request).accounts.user(identity_of(request).user_id)
        zone: ZoneInfo | None = zone_named(user.time_zone)
    except (NotFound, Invalid):
        zone = None
    return Dates(zone) if zone is not None and zone.key != "UTC" else Dates()


async def projects_of(request: Request[Any, Any, Any]) -> Mapping[int, str]:
    """Names of the projects that the caller sees."""
    return {one.id: one.name for one in await services_of(request).projects.list(identity_of(request))}
