from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import (
    CODECS,
    Boolean,
    Codecs,
    Destination,
    Duration,
    Headers,
    Sound,
    parameter,
)


@dataclass(frozen=True, kw_only=True)
class Transfer(Action):
    kind: ClassVar[str] = "transfer"
    summary: ClassVar[str] = (
        "Sends the other side of a party's call to somebody else, unannounced (REFER, RFC 3515)."
    )
    ready: ClassVar[str] = "when the outcome of the transfer was told"
    example: ClassVar[str] = "transfer: {party: bob, to: carol, after: 2 s}"
    main: ClassVar[str] = "destination"
    aliases: ClassVar = MappingProxyType({"to": "destination", "dial_destination": "destination"})

    destination: str = parameter(
        Destination(512), "Where the other side is to go: a number, a user, a SIP URI, or a party."
    )
    after: float = parameter(
        Duration(0), "Begin this long after the answer of the party's call.", default=2.0
    )
    hangup: bool = parameter(Boolean(), "Whether the party hangs up once the transfer is done.", default=True)
    timeout: float = parameter(
        Duration(1, 3600), "How long to wait for the party's call, and for the outcome.", default=60.0
    )
    headers: tuple[tuple[str, str], ...] = parameter(Headers(), "Extra headers of the REFER.", default=())


@dataclass(frozen=True, kw_only=True)
class AttendedTransfer(Transfer):
    """The party holds its call, calls the destination, and connects the two."""

    kind: ClassVar[str] = "attended_transfer"
    summary: ClassVar[str] = (
        "Holds a party's call, calls somebody else, and connects the two (REFER with Replaces, RFC 3891)."
    )
    ready: ClassVar[str] = "when the outcome was told, and the call to the destination has ended"
    example: ClassVar[str] = "attended_transfer: {party: bob, to: carol, after: 2 s, consult: 2 s}"

    consult: float = parameter(
        Duration(0), "How long to talk to the destination before the two are connected.", default=2.0
    )
    ring_timeout: float = parameter(
        Duration(1, 600), "Give the transfer up when the destination did not answer by then.", default=60.0
    )
    codecs: tuple[str, ...] = parameter(
        Codecs(), "Codecs to offer to the destination, in order of preference.", default=CODECS[:3]
    )
    play: str = parameter(Sound(), "What the destination hears meanwhile.", default="speech")
    media: bool = parameter(Boolean(), "Whether audio is expected from the destination.", default=True)
    record: bool = parameter(Boolean(), "Whether to record both directions.", default=True)
