"""What is decided once for an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.sip.timers import Timers
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import Uri

HopFor = Callable[[Uri, Hop], PermittedHop | None]
"""Finds the permitted way to a URI that a peer named, given the hop of the dialog; None: the dialog's own."""

METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "INFO",
    "MESSAGE",
    "UPDATE",
    "PRACK",
)
"""What an endpoint takes that subscribes to nothing and is not referred."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of everything that a peer could make grow. Beyond them requests are answered 503, then dropped."""

    transactions: int = 50_000  # client and server together
    calls: int = 20_000
    early_dialogs: int = 16  # forked branches of one call
    provisionals: int = 64  # that one call tells its user of
    events: int = 100_000  # not yet drained
    streams: int = 4_096  # flows with a half-received message
    subscriptions: int = 10_000
    contacts: int = 32  # read from one 3xx or one 200 to REGISTER


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """How an endpoint presents itself and what it accepts. All durations in seconds."""

    user_agent: str = "Callwright"
    advertise_host: str | None = None  # put in Via and Contact in place of the hop's local address
    advertise_port: int | None = None
    timers: Timers = field(default_factory=Timers)
    limits: Limits = field(default_factory=Limits)
    allow: tuple[str, ...] = METHODS
    accept: tuple[str, ...] = (
        "application/sdp",
        "multipart/mixed",
    )  # bodies of INVITE; others: elsewhere too
    accept_elsewhere: tuple[str, ...] = (
        "text/plain",
        "message/sipfrag",
        "application/simple-message-summary",
        "application/dialog-info+xml",
        "application/pidf+xml",
        "application/dtmf-relay",
        "application/dtmf",
        "application/im-iscomposing+xml",
    )
    supported: tuple[str, ...] = ()  # option tags; others in a Require are refused with 420
    answer_options: bool = True  # OPTIONS are answered 200 by the endpoint; else the user hears of them
    answer_stun: bool = False  # keep-alives of UDP, as whoever keeps flows for phones does (RFC 5626)
    accept_calls: bool = True  # False: INVITEs outside of dialogs are answered 480 at once
    ring_limit: float = 600.0  # an outbound call without a final response is canceled after this
    answer_limit: float = 600.0  # an inbound call that the user leaves unanswered gets 480 after this
    min_se: int = 90  # Min-SE (RFC 4028), where "timer" is supported
    max_forwards: int = 70
    hop_for: HopFor | None = None
    stands_between: bool = False  # Replaces may name a dialog from its other end: watchers know it from there
    keep_wills: bool = False  # tell by `Endpoint.wills` what ends each call; see sip/will
