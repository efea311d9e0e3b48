"""Users as the chapter of telephony has them. Times are unix seconds (float)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callwright.control.collections.model import Kind, Property, Resource

__all__ = ["FORWARDS", "PEOPLE", "Line", "Switched", "full_name", "names_of"]

#: When calls go elsewhere; each has a number of the PBX, or none.
FORWARDS = ("forward_always", "forward_busy", "forward_no_answer", "forward_unreachable")
_NO_BREAK = "\u00a0"

#: Everybody, with or without a line. `id`: that of the chapter.
PEOPLE = Resource(
    "users",
    (
        Property("id", Kind.INTEGER),
        Property("username", Kind.TEXT),
        Property("first_name", Kind.TEXT),
        Property("last_name", Kind.TEXT),
        Property("email", Kind.TEXT),
        Property("role", Kind.TEXT),
        Property("time_zone", Kind.TEXT),
        Property("ext", Kind.TEXT, nullable=True, description="Extension; null: no line of the PBX."),
        Property("status", Kind.TEXT, description="active, or suspended: no phone of theirs is served."),
        Property("caller_id_name", Kind.TEXT, nullable=True, description="Null: the name of the user."),
        Property("record", Kind.FLAG, description="Their calls are recorded, once that was announced."),
        Property("dnd", Kind.FLAG, description="Do not disturb: no phone of theirs rings."),
        *(
            Property(name, Kind.TEXT, nullable=True, description="A number of the PBX; null: nowhere.")
            for name in FORWARDS
        ),
        Property(
            "voicemail", Kind.FLAG, description="Messages are taken wherever forwarding names no number."
        ),
        Property("forward_after", Kind.INTEGER, description="Seconds of ringing before forward_no_answer."),
        Property("created_at", Kind.DATE),
    ),
)


class Line(msgspec.Struct, frozen=True):
    """A user's line. ``ext`` is the user part of its address and the username of its digest;
    ``sealed_password`` is bound to the user. ``caller_id_name`` None: the name of the user.
    ``forward_*`` None: nowhere."""

    user_id: int
    ext: str
    sealed_password: str
    created_at: float
    updated_at: float
    active: int = 1
    caller_id_name: str | None = None
    dnd: int = 0
    record: int = 0
    forward_always: str | None = None
    forward_busy: str | None = None
    forward_no_answer: str | None = None
    forward_unreachable: str | None = None
    forward_after: int = 20
    voicemail: int = 0


class Switched(msgspec.Struct, frozen=True):
    """A line with its password, for the PBX alone."""

    user_id: int
    ext: str
    password: str
    display_name: str
    dnd: bool
    forwards: Mapping[str, str]
    forward_after: int
    voicemail: bool = False
    record: bool = False

    def __repr__(self) -> str:
        return f"Switched(user_id={self.user_id}, ext={self.ext!r}, …)"


def full_name(first: str, last: str) -> str:
    """One text, from which `names_of` has both again: blanks in a first name do not break."""
    return f"{_NO_BREAK.join(first.split())} {' '.join(last.split())}".strip(" ")


def names_of(name: str) -> tuple[str, str]:
    """First and last."""
    first, _, last = name.partition(" ")
    return first.replace(_NO_BREAK, " "), last
