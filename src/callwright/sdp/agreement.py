"""What this side brings to offer and answer, and what both come to."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.sdp.crypto import Crypto
from callwright.sdp.dtls import DTLS_PROTOCOLS, DtlsPeer
from callwright.sdp.formats import AudioFormat
from callwright.sdp.ice import IceDescription
from callwright.sdp.lines import SdpError
from callwright.sdp.media import DIRECTIONS
from callwright.srtp.fingerprint import Fingerprint
from callwright.srtp.suite import StreamKeys

__all__ = ["SRTP", "LocalMedia", "Negotiated", "NotAcceptable", "RejectedMedia"]

PROTOCOL, SECURE_PROTOCOL = "RTP/AVP", "RTP/SAVP"
SRTP = ("off", "optional", "required")
"""Plain RTP alone; keys beside plain RTP (`a=crypto` on RTP/AVP), to be used if both have them; RTP/SAVP."""
MIN_PTIME, MAX_PTIME = 10, 60


class NotAcceptable(ValueError):
    """No session comes of this. ``reason`` is a sentence, ``warning_code`` one of RFC 3261 section 20.43."""

    status = 488

    def __init__(self, reason: str, warning_code: int = 399) -> None:
        super().__init__(reason)
        self.reason = reason
        self.warning_code = warning_code


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this side can do and where it listens.

    ``host``: the address peers send to (numeric or a name); ``port``: RTP, 1..65535; ``formats``: in order of
    preference; ``ptime``, ``maxptime``: milliseconds, 10..60; ``rtcp_port``: None for port + 1;
    ``telephone_event``: take RFC 4733 digits, at every clock rate of the formats; ``prefer_local``: when
    answering, use our order of formats instead of the offer's. ``srtp``: see SRTP; ``crypto``: our keys, one
    for each suite that may be used, in order of preference. ``dtls``: the fingerprint of our certificate,
    where keys come by DTLS and by nothing else; ``dtls_role``: "active" or "passive", once there was a
    handshake. ``ice``: ours.
    """

    host: str
    port: int
    formats: tuple[AudioFormat, ...]
    ptime: int = 20
    direction: str = "sendrecv"
    maxptime: int | None = None
    rtcp_port: int | None = None
    telephone_event: bool = True
    prefer_local: bool = False
    username: str = "-"
    session_name: str = "callwright"
    srtp: str = "off"
    crypto: tuple[Crypto, ...] = ()
    dtls: Fingerprint | None = None
    dtls_role: str | None = None
    ice: IceDescription | None = None

    def __post_init__(self) -> None:
        if self.srtp not in SRTP or (self.srtp != "off") != bool(self.crypto):
            raise SdpError(f"SRTP {self.srtp!r} does not go with {len(self.crypto)} keys")
        if not 1 <= self.port <= 65535 or not (self.rtcp_port is None or 1 <= self.rtcp_port <= 65535):
            raise SdpError(f"the port {self.port} or {self.rtcp_port} is not between 1 and 65535")
        for ptime in (self.ptime, self.maxptime or self.ptime):
            if not MIN_PTIME <= ptime <= MAX_PTIME:
                raise SdpError(f"a packet time of {ptime} ms is not between {MIN_PTIME} and {MAX_PTIME}")
        if self.direction not in DIRECTIONS:
            raise SdpError(f"the direction {self.direction!r} is not one of {', '.join(DIRECTIONS)}")
        if not any(not f.is_telephone_event for f in self.formats):
            raise SdpError("this side has no audio format")

    @property
    def muxed(self) -> bool:
        """One port for all (RFC 5761, 9143): where there is one component, and one handshake."""
        return self.dtls is not None or self.ice is not None

    @property
    def protocol(self) -> str:
        """The profile of an offer."""
        if self.dtls is not None:
            return DTLS_PROTOCOLS[0 if self.ice is not None else 1]
        return SECURE_PROTOCOL if self.srtp == "required" else PROTOCOL

    @property
    def all_formats(self) -> tuple[AudioFormat, ...]:
        """The formats with a telephone-event for every clock rate, unless one is named or none is wanted."""
        if not self.telephone_event:
            return tuple(f for f in self.formats if not f.is_telephone_event)
        named = {f.clock_rate for f in self.formats if f.is_telephone_event}
        rates = dict.fromkeys(f.clock_rate for f in self.formats if not f.is_telephone_event)
        # 8000 first: it is what gets number 101.
        missing = sorted(rate for rate in rates if rate not in named)
        return (*self.formats, *(AudioFormat("telephone-event", rate, fmtp="0-16") for rate in missing))


@dataclass(frozen=True, slots=True)
class RejectedMedia:
    """An m-line that is not used: its place in the description, its kind, and why."""

    index: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on, seen from ours.

    ``format`` is the one to send with (its ``fmtp`` is the peer's wish), ``send_payload_type`` its
    number as the peer wants it; ``receive_payload_types`` all that may come, telephone-event among them.
    ``remote_host`` may be a name. ``remote_rtcp_port`` is None where there is none. ``direction`` is
    ours; ``ptime`` (ms) is what to send. ``disabled``: the stream was taken out with port 0. ``srtp``: the
    keys of both directions, None for plain RTP, and where ``dtls`` brings them. ``ice``: of the peer, where
    both sides do it: then ``remote_host`` is the first of its addresses that can be read.
    ``remarks``: what the peer did against the rules.
    """

    format: AudioFormat
    send_payload_type: int
    receive_payload_types: dict[int, AudioFormat]
    remote_host: str
    remote_port: int
    remote_rtcp_host: str
    remote_rtcp_port: int | None
    direction: str
    ptime: int
    telephone_event_payload_type: int | None = None
    telephone_event: AudioFormat | None = None
    send_formats: tuple[AudioFormat, ...] = ()
    media_index: int = 0
    disabled: bool = False
    remote_held: bool = False
    rtcp_mux_offered: bool = False
    rejected: tuple[RejectedMedia, ...] = ()
    remarks: tuple[str, ...] = ()
    srtp: StreamKeys | None = None
    dtls: DtlsPeer | None = None
    ice: IceDescription | None = None
    rtcp_mux: bool = False

    @property
    def nowhere(self) -> bool:
        """There is no address to send to: the hold of before RFC 3264. With ICE it says nothing."""
        return self.ice is None and self.remote_host in ("0.0.0.0", "::")

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")
