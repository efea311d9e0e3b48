"""What a phone is asked to do: plain values, made by the command line or by a runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from callwright.ice.wish import NO_ICE, IceWish
from callwright.net.tls import TlsSettings
from callwright.phone.body import NO_BODY, ExtraBody
from callwright.phone.identity import IdentityCheck, IdentityPlan
from callwright.sip.digest import Credentials
from callwright.sip.session_timer import NO_WISH, SessionWish
from callwright.sip.transport import Transport
from callwright.sip.websocket import DEFAULT_PATH
from callwright.srtp.wish import NO_SRTP, SrtpWish

DEFAULT_CODECS = ("PCMU", "PCMA")
DTMF_BY = ("event", "dtmf-relay", "dtmf", "inband")
"""Digits go as telephone-events (RFC 4733), in INFO with a body of that type, or as tones in the audio."""
PRACK = ("no", "offered", "required")
"""Reliable provisionals (RFC 3262): not supported; where the caller requires them; or not without them."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a phone is towards a registrar. `user` is the authentication name; `secret` the password."""

    user: str
    secret: str = field(repr=False, default="")
    display_name: str = ""

    @property
    def credentials(self) -> Credentials | None:
        """None without a password."""
        return Credentials(self.user, self.secret) if self.secret else None


@dataclass(frozen=True, slots=True)
class PhoneConfig:
    """Where a phone stands and how it presents itself."""

    bind: str | None = None  # local address; None: by the route to the peer
    port: int = 0  # where SIP is received; 0: any free one
    transport: Transport | None = None  # None: by RFC 3263, UDP for want of better
    advertise: str | None = None  # host (and port) put into Via, Contact and SDP
    rtp_ports: tuple[int, int] = (16384, 32767)
    tls: TlsSettings = field(default_factory=TlsSettings)
    user_agent: str = "Callwright"
    user: str = "callwright"  # user part of our Contact
    codecs: tuple[str, ...] = DEFAULT_CODECS
    ptime: int = 20
    answer_options: bool = True
    family: int | None = None  # 4 or 6: only addresses of that IP version
    ws_path: str = DEFAULT_PATH  # what we ask of servers of WebSocket
    min_se: int = 90  # seconds: calls that ask for a shorter session timer are answered 422


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """What is played, sent as digits and recorded in one call."""

    play: str = "speech"  # speech, tone, silence, echo, or the path of a WAV file
    codecs: tuple[str, ...] = ()  # empty: the phone's
    ptime: int | None = None
    dtmf: str = ""  # digits sent after the answer
    dtmf_after: float = 1.0  # seconds from the answer
    dtmf_by: str = "event"  # see DTMF_BY
    detect_tones: bool = False  # listen for DTMF in the audio itself
    record: Path | None = None  # a stereo WAV: left sent, right received
    voice: str = "woman"  # who speaks when speech is played: "woman" or "man"
    enabled: bool = True  # False: signalling only, no audio is sent or expected
    srtp: SrtpWish = NO_SRTP
    ice: IceWish = NO_ICE


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """A transfer of one call. With `consult` we call that party first, talk this long, then connect the two
    (RFC 5589 section 7); without it the peer is sent there unannounced (section 6)."""

    to: str  # a SIP URI
    after: float = 3.0  # seconds from the answer
    consult: float | None = None
    hang_up: bool = True  # our own calls, once the transfer is done


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One outbound call."""

    destination: str  # a SIP URI
    media: MediaPlan = field(default_factory=MediaPlan)
    caller: str | None = None  # From, a name-addr or a URI; None: the phone's own
    account: Account | None = None
    proxy: str | None = None  # outbound proxy, a SIP URI or host:port
    headers: tuple[tuple[str, str], ...] = ()  # added, replaced, or left out (`-Name`); see sip.edits
    body: ExtraBody = NO_BODY  # beside our session description, or in its place
    talk_for: float | None = 10.0  # seconds from the answer; None: until the peer ends it
    ring_for: float = 60.0  # give up (CANCEL) when nobody answered by then
    cancel_after: float | None = None  # give up on purpose, this long after the INVITE
    follow: bool = False  # 3xx
    late_offer: bool = False
    hold_at: float | None = None  # seconds from the answer
    hold_for: float = 2.0
    transport: Transport | None = None  # None: the phone's
    prack: str = "offered"  # see PRACK
    early_update: float | None = None  # UPDATE this long after early media was agreed on, if not answered
    offer_by: str = "reinvite"  # or "update": how hold and resume are offered
    session: SessionWish = NO_WISH  # RFC 4028
    transfer: TransferPlan | None = None
    transfers: bool = False  # a REFER of the peer is followed, as far as the policy permits its target
    identity: IdentityPlan | None = None  # what is said of the caller beside From
    identifier: str = ""  # step.S.A of a test, empty on the command line
    party: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """What is done with an inbound call."""

    media: MediaPlan = field(default_factory=lambda: MediaPlan(voice="man"))
    ring_after: float = 0.0  # seconds until 180; negative: none is sent
    answer_after: float = 0.0  # seconds until 200
    early_media: bool = False  # 183 with SDP, and audio before the answer
    auto_answer: bool = False  # a caller who asks for an answer at once (Call-Info: answer-after) gets it
    reject: int | None = None  # answer with this status instead
    reject_reason: str | None = None
    talk_for: float | None = None  # hang up this long after the answer; None: the caller ends it
    hold_at: float | None = None
    hold_for: float = 2.0
    headers: tuple[tuple[str, str], ...] = ()
    prack: str = "offered"  # see PRACK
    early_update: float | None = None  # UPDATE so long after the PRACK of early media, if not answered
    offer_by: str = "reinvite"  # or "update": how hold and resume are offered
    session: SessionWish = NO_WISH  # RFC 4028
    transfer: TransferPlan | None = None
    transfers: bool = False  # a REFER of the peer is followed, as far as the policy permits its target
    caller: str | None = None  # From of calls that a transfer makes; None: as the call came to us
    account: Account | None = None  # theirs
    proxy: str | None = None  # theirs
    identity: IdentityCheck | None = None  # what is demanded of the caller's Identity (RFC 8224)
    identifier: str = ""
    party: str | None = None
