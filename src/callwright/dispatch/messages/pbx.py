"""Between the web workers and the PBX of one platform."""

from __future__ import annotations

import msgspec

from callwright.dispatch.messages.calls import CallNews


class LinesChanged(msgspec.Struct, frozen=True):
    """Users were added, changed or removed: look at the database. Answered with LinesTaken."""


class LinesTaken(msgspec.Struct, frozen=True):
    """The PBX serves what the database holds now; `accounts` of it in all."""

    accounts: int


class LiveAsked(msgspec.Struct, frozen=True):
    """What is up, and who is registered? Answered with Live."""


class PhoneNow(msgspec.Struct, frozen=True):
    """A contact that is registered. `source`: address and port that it registered from; times are unix
    seconds."""

    user: str
    contact: str
    transport: str
    source: str
    since: float
    expires_at: float
    behind_nat: bool
    user_agent: str = ""


class CallNow(msgspec.Struct, frozen=True):
    """A call that is not over, as it stands."""

    news: CallNews
    on_hold: bool = False
    recorded: bool = False


class Live(msgspec.Struct, frozen=True):
    calls: tuple[CallNow, ...] = ()
    phones: tuple[PhoneNow, ...] = ()


class CallWish(msgspec.Struct, frozen=True):
    """Ring the phones of `user`, then connect them to `number`. Answered with CallMade."""

    user: str
    number: str


class CallMade(msgspec.Struct, frozen=True):
    """`call` None: no phone of the user is registered."""

    call: str | None


class JoinWish(msgspec.Struct, frozen=True):
    """Call `first`, then connect who answers to `number`; both by the rights of the account `user`. Answered
    with JoinMade."""

    first: str
    number: str
    user: str


class JoinMade(msgspec.Struct, frozen=True):
    """`call` None: nobody can be called there; `status` and `reason` as SIP has them."""

    call: str | None
    status: int = 0
    reason: str = ""


class TextWish(msgspec.Struct, frozen=True):
    """Send a text to the phones of the account `to`, as the account `user`. Answered with TextSent."""

    user: str
    to: str
    text: str


class TextSent(msgspec.Struct, frozen=True):
    """`status`: the final response, the best of those of several phones; 0: none has answered yet."""

    status: int
    reason: str = ""


class MailboxTouched(msgspec.Struct, frozen=True):
    """The messages of `user` are others than before: tell their phones. Answered with CallDone."""

    user: str


class CallMove(msgspec.Struct, frozen=True):
    """Transfer to `number`: the peer of `user`, None: the caller. Answered with CallMade, whose `call` is
    the new one; None: nobody has answered the old one."""

    call: str
    number: str
    user: str | None


class CallAnswering(msgspec.Struct, frozen=True):
    """Tell a phone of `user`, None: of anybody, that rings for the call to answer. Answered with CallDone,
    whose `found` is whether one could be told."""

    call: str
    user: str | None


class CallRecording(msgspec.Struct, frozen=True):
    """Record the call from now on, or no longer. Answered with CallDone, whose `found` is False when it
    cannot be recorded: nobody has answered, or its audio does not pass the PBX."""

    call: str
    on: bool


class CallEnding(msgspec.Struct, frozen=True):
    """Hang up. Answered with CallDone."""

    call: str


class CallDone(msgspec.Struct, frozen=True):
    """`found` False: the call was over."""

    found: bool


class PlanAsked(msgspec.Struct, frozen=True):
    """Which numbers are there, and what does a call to `number` do that `user` dials? Empty: nobody dials.
    Answered with PlanTold."""

    number: str = ""
    user: str = ""


class NumberTold(msgspec.Struct, frozen=True):
    """A number that is no user's. `kind`: as "queue"."""

    number: str
    kind: str
    name: str = ""


class TrunkTold(msgspec.Struct, frozen=True):
    """Another SIP system at `place` (host, port and parameters). `registers`: it is told where we are;
    `sources`: addresses that its calls come from, besides that place."""

    name: str
    place: str
    registers: bool
    sources: tuple[str, ...] = ()


class RouteTold(msgspec.Struct, frozen=True):
    """Numbers that go to `trunks`, in the order of trying; see pbx.plan.OutboundRoute."""

    name: str
    trunks: tuple[str, ...]
    prefix: str
    strip: int
    prepend: str
    shortest: int
    longest: int
    users: tuple[str, ...]


class InboundTold(msgspec.Struct, frozen=True):
    """Calls of trunks to `number` go to `to`; `trunk` empty: from any."""

    number: str
    to: str
    trunk: str


class PlanTold(msgspec.Struct, frozen=True):
    """`way`: sentences, indented by two for each step further; `problems`: what names something that is not
    there. No secret is in it."""

    numbers: tuple[NumberTold, ...] = ()
    trunks: tuple[TrunkTold, ...] = ()
    outbound: tuple[RouteTold, ...] = ()
    inbound: tuple[InboundTold, ...] = ()
    way: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
