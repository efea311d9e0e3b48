from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.ice.wish import USES as ICE_USES
from callwright.scenario.actions.action import Action
from callwright.scenario.actions.engine import Unfit, unfit_for_load, unfit_to_encrypt, unfit_to_update
from callwright.scenario.identity import VERIFY
from callwright.scenario.parameter import (
    CODECS,
    DTMF_BY,
    OFFER_BY,
    PRACK,
    REFRESHERS,
    Boolean,
    Choice,
    Codecs,
    Digits,
    Duration,
    Headers,
    Integer,
    Mos,
    Percent,
    Seconds,
    Sound,
    Words,
    parameter,
)
from callwright.sip.session_timer import LEAST, SMALLEST
from callwright.srtp.suite import SUITES
from callwright.srtp.wish import USES


@dataclass(frozen=True, kw_only=True)
class Accept(Action):
    """Several accepts of one party stand in a queue: a call goes to the first that still takes calls."""

    kind: ClassVar[str] = "accept"
    summary: ClassVar[str] = "Waits for calls to a party, and rings, answers, plays, or refuses."
    ready: ClassVar[str] = (
        "when it listens; in the last step, when `max_total_calls` calls (at least one) came and ended, "
        "or `timeout` is over"
    )
    example: ClassVar[str] = "accept: {party: bob, ring: 1 s, play: speech}"
    main: ClassVar[str] = "party"
    aliases: ClassVar = MappingProxyType(
        {
            "ringing_time": "ring",
            "reject_code": "reject",
            "reason": "reject_reason",
            "calls": "max_total_calls",
        }
    )

    ring: float = parameter(
        Duration(maximum=600),
        "How long to ring before the answer or the refusal; 0 does not ring.",
        default=0.0,
    )
    early_media: bool = parameter(
        Boolean(), "Whether to send audio while it rings (183 with SDP instead of 180).", default=False
    )
    reject: int | None = parameter(
        Integer(300, 699), "SIP status to refuse with, instead of an answer.", default=None
    )
    reject_reason: str = parameter(
        Words(128), "Reason phrase of the refusal.", default="", default_text="the status's own"
    )
    codecs: tuple[str, ...] = parameter(
        Codecs(), "Codecs to take, in order of preference.", default=CODECS[:3]
    )
    play: str = parameter(Sound(), "What to play after the answer.", default="speech")
    echo: bool = parameter(Boolean(), "Whether to send back what is heard, instead of `play`.", default=False)
    dtmf: str = parameter(Digits(128), "Digits to send after the answer; a comma is 1 s.", default="")
    dtmf_by: str = parameter(
        Choice(DTMF_BY, "way of digits"),
        "How `dtmf` is sent: telephone-events, INFO with either body, or tones in the audio.",
        default="event",
    )
    detect_tones: bool = parameter(
        Boolean(), "Whether to listen for digits in the audio itself (`dtmf_inband`).", default=False
    )
    hangup_after: float | None = parameter(
        Duration(0.1), "Hang up this long after the answer.", default=None, default_text="the caller hangs up"
    )
    max_total_calls: int = parameter(
        Integer(0, 1_000_000), "How many calls to take; 0 takes any number.", default=0
    )
    timeout: float = parameter(Duration(1), "In the last step: how long to wait for the calls.", default=60.0)
    media: bool = parameter(Boolean(), "Whether audio is expected.", default=True)
    min_mos: float = parameter(Mos(), "Lowest MOS at which the call passes.", default=3.5)
    min_heard_pct: float = parameter(
        Percent(),
        "Least share of the call, from the answer on, without an unexplained gap in what is heard; 0: any.",
        default=90.0,
    )
    record: bool = parameter(Boolean(), "Whether to record both directions.", default=True)
    verify_identity: str = parameter(
        Choice(VERIFY, "use of a verdict"),
        "The caller's Identity (RFC 8224): not verified, verified by the test's own authority, or demanded.",
        default="no",
    )
    srtp: str = parameter(
        Choice(USES, "use of SRTP"),
        "Keys for SRTP in the SDP: not taken; taken where offered; demanded; or by DTLS (RFC 5764).",
        default="off",
    )
    srtp_suite: str = parameter(
        Choice(tuple(SUITES), "crypto suite"),
        "The only suite to take.",
        default="",
        default_text="any",
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
        "Reliable provisionals (RFC 3262): refused; sent where the caller requires them, or supports them "
        "and sent no SDP; or demanded.",
        default="offered",
    )
    early_update: float | None = parameter(
        Duration(0, 600),
        "With `early_media`: offer anew by UPDATE (RFC 3311) this long after its PRACK, if not answered.",
        default=None,
    )
    session_expires: int | None = parameter(
        Seconds(LEAST, 86_400), "Longest session timer to agree to (RFC 4028).", default=None
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
    transfers: bool = parameter(
        Boolean(),
        "Whether a REFER of the peer is followed, as far as the policy permits its target.",
        default=False,
    )
    auto_answer: bool = parameter(
        Boolean(),
        "Whether a caller who asks for an answer at once (Call-Info: answer-after) gets it, whatever "
        "`ring` says.",
        default=False,
    )
    headers: tuple[tuple[str, str], ...] = parameter(
        Headers(), "Extra headers of the ringing and the answer.", default=()
    )
    load: bool | None = parameter(
        Boolean(),
        "Whether the load engine answers the calls: as many as come, measured as a whole.",
        default=None,
        default_text="yes when a load of this test calls the party",
    )

    @property
    def is_load(self) -> bool:
        """Whether the load engine answers its calls."""
        return bool(self.load)

    def unfit(self, given: Collection[str]) -> list[Unfit]:
        if self.is_load:
            return unfit_for_load(self.kind, vars(self), given)
        found = [*unfit_to_update(vars(self)), *unfit_to_encrypt(vars(self))]
        if self.early_update is not None and not self.early_media:
            found.append(Unfit("early_update", "early_update needs early media: write early_media: yes."))
        return found
