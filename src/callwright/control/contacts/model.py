"""Whom users know. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec

from callwright.control.collections.model import Kind, Property, Resource

__all__ = ["CONTACTS", "TEXTS", "Contact"]

#: The texts of a contact, each with the most characters that it may have.
TEXTS = {
    "group_name": 100,
    "first_name": 100,
    "last_name": 100,
    "email": 255,
    "tel": 64,
    "mobile": 64,
    "notes": 4_000,
}

#: `global`: all users see it.
CONTACTS = Resource(
    "contacts",
    (
        Property("id", Kind.INTEGER),
        Property("user_id", Kind.INTEGER),
        Property("global", Kind.FLAG, description="All users see it; else its owner alone."),
        *(Property(name, Kind.TEXT) for name in TEXTS),
        Property("created_at", Kind.DATE),
        Property("updated_at", Kind.DATE),
    ),
)


class Contact(msgspec.Struct, frozen=True):
    """``user_id``: its owner, by the platform's own id. ``shared``: `global`."""

    id: int
    user_id: int
    shared: int
    group_name: str
    first_name: str
    last_name: str
    email: str
    tel: str
    mobile: str
    notes: str
    created_at: float
    updated_at: float
