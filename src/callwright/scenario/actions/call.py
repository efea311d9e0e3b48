from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from callwright.ice.wish import USES as ICE_USES
from callwright.scenario.actions.action import Action
from callwright.scenario.actions.engine import (
    MOST_CALLS,
    MOST_RATE,
    WORKED_OUT,
    Unfit,
    too_much_for_softphones,
    unfit_for_load,
    unfit_to_encrypt,
    unfit_to_update,
)
from callwright.scenario.addresses import SipAddress
from callwright.scenario.identity import ATTESTATIONS, IDENTITY, PRIVACY
from callwright.scenario.octets import MediaTypeName, Octets
from callwright.scenario.parameter import (
    CODECS,
    DTMF_BY,
    OFFER_BY,
    PRACK,
    REFRESHERS,
    TRANSPORTS,
    Boolean,
    Choice,
    Codecs,
    Destination,
    Digits,
    Duration,
    Headers,
    Integer,
    Mos,
    Percent,
    Rate,
    Seconds,
    Sound,
    Words,
    parameter,
)
from callwright.scenario.ramp import Climb, Ramp
from callwright.sip.session_timer import LEAST, SMALLEST
from callwright.srtp.suite import SUITES
from callwright.srtp.wish import USES


@dataclass(frozen=True, kw_only=True)
class Call(Action):
    kind: ClassVar[str] = "call"
    summary: ClassVar[str] = "Calls a number, a user, a SIP URI or a party, talks, and hangs up."
    ready: ClassVar[str] = "when all its calls have ended"
    example: ClassVar[str] = "call: {from: alice, dial_destination: bob, max_duration: 8 s}"
    main: ClassVar[str] = "dial_destination"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType(
        {"from": "party", "to": "dial_destination", "destination": "dial_destination"}
    )

    dial_destination: str = parameter(
        Destination(512), "A number, a user, `user@host`, a SIP URI, or the name of a party."
    )
    max_total_calls: int = parameter(
        Integer(1, 1_000_000),
        "How many calls to place in all.",
        default=1,
        default_text="1; with a `ramp`, as many as it makes",
    )
    call_rate: float = parameter(Rate(), "New calls a second; `6 per minute` is read too.", default=1.0)
    concurrent: int = parameter(
        Integer(0, 100_000), "Most calls at once; 0 is as many as `call_rate` makes.", default=0
    )
    ramp: Climb | None = parameter(  # noqa: RUF009  (a field, as the others)
        Ramp(),
        "Instead of `call_rate`: from so many calls a second to so many, in that time. Makes it a load.",
        default=None,
    )
    load: bool | None = parameter(
        Boolean(),
        "Whether the load engine places the calls: thousands a second, measured as a whole.",
        default=None,
        default_text=WORKED_OUT,
    )
    max_duration: float = parameter(Duration(0.1), "Hang up this long after the answer.", default=10.0)
    ring_timeout: float = parameter(
        Duration(1, 600), "Give up (CANCEL) when nobody answered by then; the call fails.", default=60.0
    )
    cancel_after: float | None = parameter(
        Duration(0, 600),
        "Cancel on purpose this long after the INVITE (in a load: its first answer), if not answered.",
        default=None,
    )
    play: str = parameter(Sound(), "What to play after the answer.", default="speech")
    dtmf: str = parameter(Digits(128), "Digits to send after the answer; a comma is 1 s.", default="")
    dtmf_by: str = parameter(
        Choice(DTMF_BY, "way of digits"),
        "How `dtmf` is sent: telephone-events, INFO with either body, or tones in the audio.",
        default="event",
    )
    detect_tones: bool = parameter(
        Boolean(), "Whether to listen for digits in the audio itself (`dtmf_inband`).", default=False
    )
    hold: float | None = parameter(
        Duration(0), "Put the peer on hold this long after the answer.", default=None
    )
    resume: float | None = parameter(Duration(0), "Resume this long after the answer.", default=None)
    codecs: tuple[str, ...] = parameter(
        Codecs(), "Codecs to offer, in order of preference.", default=CODECS[:3]
    )
    caller_id: str = parameter(
        Words(256),
        'Caller to show in From: a number, or `"Name" <number>`.',
        default="",
        default_text="the party's user",
    )
    headers: tuple[tuple[str, str], ...] = parameter(
        Headers(free=True), "Headers to add to the INVITE or to replace; `-Name` leaves one out.", default=()
    )
    body: bytes = parameter(
        Octets(), "A body beside the session description (ISUP, PIDF-LO), or in its place.", default=b""
    )
    body_type: str = parameter(
        MediaTypeName(256), "What it is: multipart and application/sdp stand in place of ours.", default=""
    )
    transport: str = parameter(
        Choice(TRANSPORTS, "transport"), "Transport of the call.", default="", default_text="the party's"
    )
    srtp: str = parameter(
        Choice(USES, "use of SRTP"),
        "Keys for SRTP in the SDP: none; beside plain RTP; RTP/SAVP; plain after a 488; or by DTLS.",
        default="off",
    )
    srtp_suite: str = parameter(
        Choice(tuple(SUITES), "crypto suite"),
        "The only suite to offer and to take.",
        default="",
        default_text="AES_CM_128_HMAC_SHA1_80 and _32 are offered, all are taken",
    )
    ice: str = parameter(
        Choice(ICE_USES, "use of ICE"),
        "How media finds its way (RFC 8445): as the SDP says; by checks; or by answering checks alone.",
        default="off",
    )
    rekey_after: float | None = parameter(
        Duration(0, 86_400), "Offer new keys for SRTP (re-INVITE) this long after the answer.", default=None
    )
    prack: str = parameter(
        Choice(PRACK, "use of PRACK"),
        "Reliable provisionals (RFC 3262): 100rel not supported, supported, or required.",
        default="offered",
    )
    early_update: float | None = parameter(
        Duration(0, 600),
        "Offer anew by UPDATE (RFC 3311) this long after early media was agreed on, if not answered.",
        default=None,
    )
    offer_by: str = parameter(
        Choice(OFFER_BY, "request that offers anew"),
        "How `hold` and `resume` are offered: re-INVITE, or UPDATE (RFC 3311).",
        default="reinvite",
    )
    session_expires: int | None = parameter(
        Seconds(LEAST, 86_400), "Session timer to ask for (RFC 4028).", default=None
    )
    min_se: int = parameter(
        Seconds(LEAST, 86_400), "Least session timer that is taken (Min-SE).", default=SMALLEST
    )
    refresher: str = parameter(
        Choice(REFRESHERS, "side"),
        "Who is to refresh the session: this party (local), or its peer.",
        default="",
        default_text="as the peer chooses",
    )
    refresh_by: str = parameter(
        Choice(OFFER_BY, "request that refreshes"),
        "How this party refreshes the session.",
        default="",
        default_text="update where the peer allows it",
    )
    asserted_identity: str = parameter(
        SipAddress(512), "P-Asserted-Identity of the INVITE (RFC 3325).", default=""
    )
    preferred_identity: str = parameter(
        SipAddress(512), "P-Preferred-Identity of the INVITE (RFC 3325).", default=""
    )
    privacy: str = parameter(
        Choice(PRIVACY, "privacy"),
        "Privacy of the INVITE (RFC 3323); From is anonymous.",
        default="none",
    )
    identity: str = parameter(
        Choice(IDENTITY, "identity"),
        "Signed Identity (RFC 8224, SHAKEN) by the test's own authority, or one that is wrong on purpose.",
        default="none",
    )
    attest: str = parameter(Choice(ATTESTATIONS, "attestation"), "Attestation in it.", default="A")
    transfers: bool = parameter(
        Boolean(),
        "Whether a REFER of the peer is followed, as far as the policy permits its target.",
        default=False,
    )
    follow: bool = parameter(Boolean(), "Whether to follow a redirection (3xx).", default=False)
    media: bool = parameter(Boolean(), "Whether audio is expected.", default=True)
    min_mos: float = parameter(Mos(), "Lowest MOS at which the call passes.", default=3.5)
    min_heard_pct: float = parameter(
        Percent(),
        "Least share of the call, from the answer on, without an unexplained gap in what is heard; 0: any.",
        default=90.0,
    )
    record: bool = parameter(Boolean(), "Whether to record both directions.", default=True)

    @property
    def expects_failure(self) -> bool:
        return super().expects_failure or self.cancel_after is not None

    @property
    def is_load(self) -> bool:
        """Whether the load engine places its calls."""
        if self.load is not None:
            return self.load
        return self.ramp is not None or too_much_for_softphones(self.call_rate, self.max_total_calls)

    @property
    def highest_rate(self) -> float:
        """Calls a second, at most."""
        return max(self.ramp.start, self.ramp.end) if self.ramp else self.call_rate

    @property
    def placing_seconds(self) -> float:
        """From the first call to the last, when nothing holds them up."""
        if self.ramp is None:
            return self.max_total_calls / self.call_rate
        rest = self.max_total_calls - self.ramp.calls
        return self.ramp.seconds + (rest / self.ramp.end if rest > 0 and self.ramp.end else 0.0)

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        ramp = values.get("ramp")
        if ramp is None or "max_total_calls" in values:
            return dict(values)
        return {**values, "max_total_calls": ramp.calls}

    def unfit(self, given: Collection[str]) -> list[Unfit]:
        if self.is_load:
            both = "ramp" in given and "call_rate" in given
            found = [Unfit("call_rate", "call_rate and ramp exclude each other: keep one of them.")]
            return [*(found if both else ()), *unfit_for_load(self.kind, vars(self), given)]
        if self.ramp is not None:
            return [Unfit("load", "A ramp is placed by the load engine only. Leave out load: no.", ("yes",))]
        if not too_much_for_softphones(self.call_rate, self.max_total_calls):
            return [*unfit_to_update(vars(self)), *unfit_to_encrypt(vars(self))]
        message = (
            f"{self.max_total_calls} calls at {self.call_rate:g} a second are more than a softphone keeps "
            f"({MOST_RATE:g} a second, {MOST_CALLS} in all). Leave out load: no, or ask for less."
        )
        return [Unfit("load", message, ("yes",))]
