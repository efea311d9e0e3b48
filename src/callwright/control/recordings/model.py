"""What is known of a recorded call. Times are unix seconds."""

from __future__ import annotations

import msgspec

from callwright.control.collections.model import Kind, Property, Resource

__all__ = ["MONITORS", "Recording"]

#: As the chapter of telephony lists them.
MONITORS = Resource(
    "monitors",
    (
        Property("id", Kind.INTEGER),
        Property("live_id", Kind.TEXT, description="Of the call, as call records have it."),
        Property("part", Kind.INTEGER, description="Which recording of the call, from 1."),
        Property("calldate", Kind.DATE),
        Property("timestamp", Kind.DATE, description="As calldate."),
        Property("caller", Kind.TEXT, description="As src."),
        Property("called", Kind.TEXT, description="As dst."),
        Property("duration", Kind.INTEGER, summed=True, description="Seconds."),
        Property("size", Kind.INTEGER, summed=True, description="Octets of the .mp3."),
        *(
            Property(f"{side}{what}", Kind.TEXT, nullable=what == "_id")
            for side in ("src", "dst")
            for what in ("", "_id", "_name")
        ),
    ),
)


class Recording(msgspec.Struct, frozen=True):
    """``path``: in the evidence store; ``src_id`` and ``dst_id``: of users of the chapter, None: nobody's."""

    id: int
    live_id: str
    part: int
    calldate: float
    duration: int
    size: int
    src: str
    src_id: str | None
    src_name: str
    dst: str
    dst_id: str | None
    dst_name: str
    sha256: str
    path: str
