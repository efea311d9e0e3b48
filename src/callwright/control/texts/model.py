"""A text and its fate. Times are unix seconds (float)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from callwright.control.collections.model import Kind, Property, Resource

__all__ = ["LONGEST", "SMS", "Status", "Text"]

LONGEST = 1_000  # octets of UTF-8: with its headers a MESSAGE stays below 1,300 (RFC 3428 section 8)


class Status(StrEnum):
    DELIVERED = "delivered"  # a phone has taken it
    FAILED = "failed"  # no phone is there, or each refused it
    UNCONFIRMED = "unconfirmed"  # it was sent, and no phone has answered in time


#: `from` and `to` as the chapter's calls have them.
SMS = Resource(
    "sms",
    (
        Property("id", Kind.INTEGER),
        Property("user_id", Kind.INTEGER),
        Property("from", Kind.TEXT, description="The extension of the sender."),
        Property("to", Kind.TEXT, description="The extension whose phones were sent it."),
        Property("text", Kind.TEXT),
        Property("status", Kind.TEXT, description=f"One of {', '.join(Status)}."),
        Property("info", Kind.TEXT, description="What the phones answered, or why nothing was sent."),
        Property("created_at", Kind.DATE),
    ),
)


class Text(msgspec.Struct, frozen=True):
    """``user_id``: who sent it, by the platform's own id."""

    id: int
    user_id: int
    sender: str
    receiver: str
    text: str
    status: str
    info: str
    created_at: float
