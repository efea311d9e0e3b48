from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import (
    CODECS,
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
    Rate,
    Sound,
    Words,
    parameter,
)


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
    max_total_calls: int = parameter(Integer(1, 1_000_000), "How many calls to place in all.", default=1)
    call_rate: float = parameter(Rate(), "New calls a second; `6 per minute` is read too.", default=1.0)
    concurrent: int = parameter(
        Integer(0, 100_000), "Most calls at once; 0 is as many as `call_rate` makes.", default=0
    )
    max_duration: float = parameter(Duration(0.1), "Hang up so long after the answer.", default=10.0)
    ring_timeout: float = parameter(
        Duration(1, 600), "Give up (CANCEL) when nobody answered by then; the call fails.", default=60.0
    )
    cancel_after: float | None = parameter(
        Duration(0, 600), "Cancel on purpose so long after the INVITE, if not answered.", default=None
    )
    play: str = parameter(Sound(), "What to play after the answer.", default="speech")
    dtmf: str = parameter(Digits(128), "Digits to send after the answer; a comma is 0.5 s.", default="")
    hold: float | None = parameter(
        Duration(0), "Put the peer on hold so long after the answer.", default=None
    )
    resume: float | None = parameter(Duration(0), "Resume so long after the answer.", default=None)
    codecs: tuple[str, ...] = parameter(
        Codecs(), "Codecs to offer, in order of preference.", default=CODECS[:3]
    )
    caller_id: str = parameter(
        Words(256),
        'Caller to show in From: a number, or `"Name" <number>`.',
        default="",
        default_text="the party's user",
    )
    headers: tuple[tuple[str, str], ...] = parameter(Headers(), "Extra headers of the INVITE.", default=())
    transport: str = parameter(
        Choice(TRANSPORTS, "transport"), "Transport of the call.", default="", default_text="the party's"
    )
    follow: bool = parameter(Boolean(), "Whether to follow a redirection (3xx).", default=False)
    media: bool = parameter(Boolean(), "Whether audio is expected.", default=True)
    min_mos: float = parameter(Mos(), "Lowest MOS at which the call passes.", default=3.5)
    record: bool = parameter(Boolean(), "Whether to record both directions.", default=True)

    @property
    def expects_failure(self) -> bool:
        return super().expects_failure or self.cancel_after is not None
