"""Filters that several lists of this chapter have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from litestar.params import QueryParameter

from callwright.control.api.problems import invalid

MaybeStatus = Annotated[str | None, QueryParameter(max_length=100, description="active or cancelled.")]

#: `state` alone is a word that Litestar keeps for itself.
MaybeState = Annotated[str | None, QueryParameter(name="state", max_length=100)]


class Status(StrEnum):
    """Whether a record was deleted, or "cancelled" as this chapter has it."""

    ACTIVE = "active"
    CANCELLED = "cancelled"

    def fits(self, deleted_at: float | None) -> bool:
        return (deleted_at is None) == (self is Status.ACTIVE)


def status_of(word: str | None) -> Status:
    """Active unless it says otherwise. Raises 422."""
    if word is None or word == "":
        return Status.ACTIVE
    if word.lower() not in list(Status):
        raise invalid("status", f"{word[:100]!r} is not a status.", value=word, permitted=list(Status))
    return Status(word.lower())


def holds(text: str | None, part: str | None) -> bool:
    """Whether ``part`` is anywhere in the text, in either case; no part is in every text."""
    return not part or part.lower() in (text or "").lower()
