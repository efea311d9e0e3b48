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


class CallMove(msgspec.Struct, frozen=True):
    """Transfer to `number`: the peer of `user`, None: the caller. Answered with CallMade, whose `call` is
    the new one; None: nobody has answered the old one."""

    call: str
    number: str
    user: str | None


class CallEnding(msgspec.Struct, frozen=True):
    """Hang up. Answered with CallDone."""

    call: str


class CallDone(msgspec.Struct, frozen=True):
    """`found` False: the call was over."""

    found: bool
