"""What is kept of a call after its end. Times are unix seconds (float); durations whole seconds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callwright.control.collections.model import Kind, Property, Resource
from callwright.control.lines.model import PEOPLE

__all__ = ["CDRS", "MEASURED", "Cdr", "CdrNote"]

_EACH = ("mos", "r_factor", "jitter", "loss")
#: Figures of the media: of the worse direction, of what the caller sent, of what the callee sent; null where
#: the PBX did not carry it.
MEASURED = tuple(f"{name}{of}" for name in _EACH for of in ("", "_src", "_dst"))


class Cdr(msgspec.Struct, frozen=True, kw_only=True):
    """``live_id``: the call among live ones; ``leg``: 0 is the caller's, then those of who was called.
    ``user_id``, ``src_id`` and ``dst_id`` are ids of the chapter. ``t_cause``: Q.850. ``pdd``: seconds until
    the first phone rang; ``jitter``: ms; ``loss``: percent. None: unknown, or not measured."""

    live_id: str
    leg: int
    call_id: str
    type: str
    calldate: float
    clid: str
    src: str
    dst: str
    src_name: str
    dst_name: str
    duration: int
    billsec: int
    disposition: str
    destination: str
    t_cause: int
    info: str
    context: str = "internal"
    parent_live_id: str | None = None
    user_id: int | None = None
    src_id: str | None = None
    dst_id: str | None = None
    src_ua: str | None = None
    dst_ua: str | None = None
    src_codec: str | None = None
    dst_codec: str | None = None
    sip_endpoint_id: int | None = None
    server_id: int | None = None
    rate: float | None = None
    charge: float | None = None
    pdd: float | None = None
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, object] = {}
    nb_notes: int = 0
    mos: float | None = None
    mos_src: float | None = None
    mos_dst: float | None = None
    r_factor: float | None = None
    r_factor_src: float | None = None
    r_factor_dst: float | None = None
    jitter: float | None = None
    jitter_src: float | None = None
    jitter_dst: float | None = None
    loss: float | None = None
    loss_src: float | None = None
    loss_dst: float | None = None


class CdrNote(msgspec.Struct, frozen=True):
    """What somebody wrote beside a record."""

    id: int
    cdr_id: int
    text: str
    username: str
    created_at: float


def _property(name: str) -> Property:
    if name in MEASURED:
        return Property(name, Kind.NUMBER, nullable=True)
    match name:
        case "duration" | "billsec":
            return Property(name, Kind.INTEGER, summed=True)
        case "t_cause" | "nb_notes":
            return Property(name, Kind.INTEGER)
        case "user_id" | "sip_endpoint_id" | "server_id":
            return Property(name, Kind.INTEGER, nullable=True)
        case "charge":
            return Property(name, Kind.NUMBER, nullable=True, summed=True)
        case "rate" | "pdd":
            return Property(name, Kind.NUMBER, nullable=True)
        case "calldate":
            return Property(name, Kind.DATE)
        case "labels":
            return Property(name, Kind.LABELS)
        case "metadata":
            return Property(name, Kind.OBJECT)
        case "parent_live_id" | "src_id" | "dst_id" | "src_ua" | "dst_ua" | "src_codec" | "dst_codec":
            return Property(name, Kind.TEXT, nullable=True)
    return Property(name, Kind.TEXT)


CDRS = Resource(
    "cdrs",
    (
        Property("id", Kind.INTEGER),
        *(_property(name) for name in Cdr.__struct_fields__ if name != "leg"),
    ),
    includes={"users": PEOPLE},
)
