"""What answers of every chapter have in common: their envelope, their errors, their dates."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Data(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One thing, or all of them."""

    data: T
    status: int = 200


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, and where."""

    message: str
    address: str | None = None
    value: str | None = None
    permitted: list[str] = []


class Error(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    message: str
    errors: list[Problem] = []


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    deleted: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    url: str
    methods: list[str]
    description: str


def utc(seconds: float) -> str:
    """`2024-02-09 08:20:18`, as every date of this chapter."""
    return _utc_of_second(math.floor(seconds))


@functools.lru_cache(8_192)  # a page of runs has three dates a row, and those who poll ask for the same rows
def _utc_of_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")[:19]


def utc_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else utc(seconds)
