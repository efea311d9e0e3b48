"""A PBX and whoever follows its calls; any of it may be lost."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CallStep(StrEnum):
    BEGUN = "begun"
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class LegNews(msgspec.Struct, frozen=True):
    """A phone that was called. `user`: its account; `status`: its final response, None without one;
    `agent`: what it calls itself."""

    user: str
    call_id: str
    status: int | None = None
    reason: str = ""
    agent: str = ""
    answered: bool = False


class DigitNews(msgspec.Struct, frozen=True):
    """A key that was pressed. `number`: which of the call's, from 1; `caller`: on the caller's leg; `by`: rtp
    (RFC 4733) or info; `at`: unix seconds."""

    digit: str
    number: int
    at: float
    caller: bool
    by: str


class AudioNews(msgspec.Struct, frozen=True):
    """Audio that came from one side, as the PBX measured it. `jitter` in ms, `loss` in percent; None: not
    known."""

    codec: str | None = None
    mos: float | None = None
    r_factor: float | None = None
    jitter: float | None = None
    loss: float | None = None


class CallNews(msgspec.Struct, frozen=True):
    """A call of a PBX as it stands after `step`, so that a message that was lost is made up for by the next.

    `call`: a UUID of version 7. `caller`: the account that credentials proved; None: nobody was asked.
    `callee`: the user that was dialled. Times are unix seconds; None: not yet, or never. `status`: the final
    response to the caller. `ended_by`: caller, callee or pbx. A call that is refused at once only ends.
    `codec`: the first of the audio that was agreed on, as `PCMA/8000`. `legs`: in the order of calling.
    `src_audio` and `dst_audio`: of the caller, and of who answered; None where it did not pass the PBX.
    `hold_changed_at`: since when it is on hold, or is no longer; None: it never was. `digit`: this is told
    because of a key, and of nothing else; one that is lost is not made up for. `caller_number`: of a caller
    who is no account. `asked_by`: the account for which a program joined two parties.
    """

    call: str
    step: CallStep
    caller: str | None
    callee: str | None
    call_id: str
    begun_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    reason: str = ""
    ended_by: str | None = None
    caller_name: str = ""
    caller_agent: str = ""
    codec: str = ""
    legs: tuple[LegNews, ...] = ()
    on_hold: bool = False
    hold_changed_at: float | None = None
    digit: DigitNews | None = None
    src_audio: AudioNews | None = None
    dst_audio: AudioNews | None = None
    caller_number: str = ""
    asked_by: str | None = None
