"""The kinds of things in the dial plan, with the properties that programs see. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from callwright.control.collections.model import Kind, Property, Resource
from callwright.control.lines.model import PEOPLE

__all__ = [
    "CONFERENCES",
    "IVRS",
    "KINDS",
    "NUMBERS",
    "QUEUES",
    "RING_GROUPS",
    "ROUTES",
    "SECRETS",
    "TRUNKS",
    "WORDS",
    "Item",
]

_ID, _NAME = Property("id", Kind.INTEGER), Property("name", Kind.TEXT)
_EXT = Property("ext", Kind.TEXT, description="The number that is dialled; no other thing of the PBX has it.")
_USERS = Property("users", Kind.IDS, description="Ids of users; those without a line are passed over.")
_STRATEGY = Property("ring_strategy", Kind.TEXT, description="all: at once; in_order: one after the other.")
_RING_TIME = Property("ring_time", Kind.INTEGER, description="Seconds: of everybody, or of each in order.")
_OTHERWISE = Property(
    "destination",
    Kind.TEXT,
    nullable=True,
    description="A number, or voicemail:EXT, where nobody answers; null: the call ends.",
)
_TIMES = (Property("created_at", Kind.DATE), Property("updated_at", Kind.DATE))
_WITH_USERS = {"users": PEOPLE}

QUEUES = Resource(
    "queues",
    (
        _ID,
        _NAME,
        _EXT,
        _STRATEGY,
        _RING_TIME,
        _USERS,
        Property("max_wait", Kind.INTEGER, description="Seconds after which a caller goes to destination."),
        Property("max_callers", Kind.INTEGER, description="Who wait at once."),
        _OTHERWISE,
        *_TIMES,
    ),
    _WITH_USERS,
)
RING_GROUPS = Resource(
    "ringgroups", (_ID, _NAME, _EXT, _STRATEGY, _RING_TIME, _USERS, _OTHERWISE, *_TIMES), _WITH_USERS
)
IVRS = Resource(
    "ivrs",
    (
        _ID,
        _NAME,
        _EXT,
        Property("prompts", Kind.LABELS, description="Built-in clips, one after the other."),
        Property("options", Kind.OBJECT, description="Keys (0 to 9, *, #, A to D) to numbers."),
        Property("timeout", Kind.INTEGER, description="Seconds in which a key is waited for."),
        Property("tries", Kind.INTEGER),
        Property("direct", Kind.FLAG, description="A whole number may be dialled too."),
        _OTHERWISE,
        *_TIMES,
    ),
)
CONFERENCES = Resource(
    "conferences",
    (
        _ID,
        _NAME,
        _EXT,
        Property("max_participants", Kind.INTEGER),
        Property("has_pin", Kind.FLAG, description="A PIN is asked for; it is never shown."),
        *_TIMES,
    ),
)
NUMBERS = Resource(
    "numbers",
    (
        _ID,
        _NAME,
        Property("number", Kind.TEXT, description="As trunks call it; a + in front does not count."),
        Property("destination", Kind.TEXT, description="A number of the PBX, or voicemail:EXT."),
        Property("trunk_id", Kind.INTEGER, nullable=True, description="Null: from any trunk."),
        *_TIMES,
    ),
)
TRUNKS = Resource(
    "trunks",
    (
        _ID,
        _NAME,
        Property("uri", Kind.TEXT, description="Where calls go, such as sip:carrier.example;transport=tcp."),
        Property("username", Kind.TEXT),
        Property("has_password", Kind.FLAG, description="The password is never shown."),
        Property("register", Kind.FLAG, description="The trunk is told where the PBX is."),
        Property("caller_id", Kind.TEXT, nullable=True, description="Null: the extension of the caller."),
        Property("sources", Kind.LABELS, description="Numeric addresses that calls come from besides."),
        *_TIMES,
    ),
)
ROUTES = Resource(
    "routes",
    (
        _ID,
        _NAME,
        Property("position", Kind.INTEGER, description="The lowest that takes a number has it."),
        Property("prefix", Kind.TEXT),
        Property("strip", Kind.INTEGER, description="Digits that are taken off in front."),
        Property("prepend", Kind.TEXT, description="Digits that are put there then."),
        Property("shortest", Kind.INTEGER, description="Digits of a number."),
        Property("longest", Kind.INTEGER),
        Property("trunks", Kind.IDS, description="Ids, in the order of trying."),
        Property("users", Kind.IDS, description="Who may; empty: everybody with a line."),
        *_TIMES,
    ),
    _WITH_USERS,
)

#: Each kind is kept under the name of its resource.
KINDS: Mapping[str, Resource] = {
    one.name: one for one in (QUEUES, RING_GROUPS, IVRS, CONFERENCES, NUMBERS, TRUNKS, ROUTES)
}
WORDS: Mapping[str, str] = {
    "queues": "queue",
    "ringgroups": "ring group",
    "ivrs": "ivr",
    "conferences": "conference",
    "numbers": "number",
    "trunks": "trunk",
    "routes": "route",
}
#: The field that is sealed, and the property that says whether there is one.
SECRETS: Mapping[str, tuple[str, str]] = {
    "conferences": ("pin", "has_pin"),
    "trunks": ("password", "has_password"),
}


class Item(msgspec.Struct, frozen=True):
    """One thing. ``kind``: of KINDS. ``key``: what no two may share, such as `ext:600` or `trunk:carrier`.
    ``settings``: by property; ``sealed``: its secret, bound to the id."""

    id: int
    kind: str
    key: str
    settings: Mapping[str, Any]
    sealed: str | None
    created_at: float
    updated_at: float
