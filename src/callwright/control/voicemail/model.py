"""Voice messages as the chapter of telephony lists them."""

from __future__ import annotations

from callwright.control.collections.model import Kind, Property, Resource

__all__ = ["VOICEMESSAGES"]

VOICEMESSAGES = Resource(
    "voicemessages",
    (
        Property("id", Kind.TEXT, description="That of the call which left it: the live_id of its records."),
        Property("user_id", Kind.INTEGER, nullable=True, description="Null: the extension is of no user."),
        Property("ext", Kind.TEXT, description="The extension that it was left for."),
        Property("src", Kind.TEXT, description="Who left it; empty: nobody said."),
        Property("calldate", Kind.DATE),
        Property("duration", Kind.NUMBER, summed=True, description="Seconds."),
        Property("heard", Kind.FLAG),
    ),
)
