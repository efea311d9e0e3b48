"""What a PBX remembers of each call, and the events it tells of."""

from __future__ import annotations

from dataclasses import dataclass, field

from callwright.pbx.registrar import Change

__all__ = [
    "AccessDenied",
    "BindingChanged",
    "BranchRecord",
    "CallConnected",
    "CallEvent",
    "CallFinished",
    "CallPlaced",
    "CallRecord",
    "CallRinging",
    "DigitHeard",
    "Diversion",
    "MailboxChanged",
    "PbxEvent",
    "Relayed",
    "SourceBanned",
    "SourceReleased",
    "StreamQuality",
    "TrunkChanged",
]


@dataclass(slots=True)
class BranchRecord:
    """One contact of `user` that was called. `status` is its final response's, None when there was none
    (yet); `agent`: what the phone calls itself; `answered`: it has the call."""

    contact: str
    call_id: str
    status: int | None = None
    reason: str = ""
    user: str = ""
    agent: str = ""
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Diversion:
    """A call went on from a number, `by` the wish of its owner, `to` another. `why`: as in RFC 5806."""

    by: str
    to: str
    why: str


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """Audio that came from one side, as it was at the relay. `loss_pct`: also of what was due and never came;
    `codec`: of the last packet, as `PCMA/8000`. None: not known."""

    codec: str | None
    packets: int
    loss_pct: float | None
    jitter_ms: float | None
    r_factor: float | None
    mos: float | None


@dataclass(slots=True)
class Relayed:
    """RTP and RTCP that went through a relay, packets. `refused`: from a source that is not the peer's.
    `caller`, `callee`: the audio of that side; None where none came and none was due."""

    from_caller: int = 0
    from_callee: int = 0
    rtcp_from_caller: int = 0
    rtcp_from_callee: int = 0
    refused: int = 0
    caller: StreamQuality | None = None
    callee: StreamQuality | None = None


@dataclass(slots=True)
class CallRecord:
    """One call through the PBX. Moments are monotonic seconds of the machine's `now`, None: not yet, never;
    `wall` has them by the calendar.

    `id` is a UUID of version 7, `number` counts the calls of this PBX, `began` is unix seconds. `caller` is
    the account that credentials proved, None where none were asked for; `callee` the user that was dialled.
    `caller_number`: of a caller who is no account; `asked_by`: the account for which a program joined two
    parties, by whose rights they are called.
    `diversions`: the forwardings on its way, in order; `transferred_by`: the user whose transfer made this
    call; `trunk`: by which it came in, or goes out. `status` is the final response that the caller got,
    `ended_by` "caller", "callee" or "pbx".
    """

    id: str
    number: int
    caller: str | None
    callee: str | None
    call_id: str
    started_at: float
    began: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    reason: str = ""
    ended_by: str | None = None
    caller_name: str = ""
    caller_number: str = ""
    asked_by: str | None = None
    caller_agent: str = ""
    codec: str = ""
    branches: list[BranchRecord] = field(default_factory=list)
    diversions: list[Diversion] = field(default_factory=list)
    transferred_by: str | None = None
    trunk: str | None = None
    relayed: Relayed | None = None
    digits: int = 0  # heard so far
    recordings: int = 0  # begun so far

    @property
    def over(self) -> bool:
        return self.ended_at is not None

    def wall(self, moment: float | None) -> float | None:
        """A moment of this call in unix seconds: two of them lie apart by what passed, whatever the clock of
        the machine is set to meanwhile."""
        return None if moment is None else self.began + (moment - self.started_at)

    def heard(self, digit: str, now: float, *, caller: bool, by: str) -> DigitHeard:
        """Counts a digit."""
        self.digits += 1
        return DigitHeard(now, self, digit, self.digits, caller, by)

    @property
    def talked(self) -> float:
        """Seconds from the answer to the end; 0 for a call that was not answered or is not over."""
        if self.answered_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.answered_at


@dataclass(frozen=True, slots=True)
class BindingChanged:
    """A phone registered, refreshed, left, or was lost."""

    at: float
    change: Change


@dataclass(frozen=True, slots=True)
class AccessDenied:
    """Credentials that were not good enough. `username` is what was claimed."""

    at: float
    method: str
    username: str | None
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallPlaced:
    """A call was let in."""

    at: float
    record: CallRecord


@dataclass(frozen=True, slots=True)
class CallRinging:
    """The first phone of the callee rings."""

    at: float
    record: CallRecord


@dataclass(frozen=True, slots=True)
class CallConnected:
    """A phone of the callee has answered."""

    at: float
    record: CallRecord


@dataclass(frozen=True, slots=True)
class DigitHeard:
    """A key was pressed during the call: `digit` 0 to 9, *, #, A to D, or ! (flash). `number`: which of the
    call's digits, from 1; `caller`: it came on the caller's leg; `by`: "rtp" (RFC 4733) or "info"."""

    at: float
    record: CallRecord
    digit: str
    number: int
    caller: bool
    by: str


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call is over: refused, given up, or hung up."""

    at: float
    record: CallRecord


@dataclass(frozen=True, slots=True)
class SourceBanned:
    """An address (of IPv6 a network) gave wrong passwords for so many accounts; it is answered 403.

    `until`: monotonic seconds.
    """

    at: float
    source: str
    accounts: int
    until: float


@dataclass(frozen=True, slots=True)
class SourceReleased:
    """A ban has ended. `reason`: why, in words."""

    at: float
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class MailboxChanged:
    """The messages of an account are others than before: how many are new, and how many were heard."""

    at: float
    user: str
    new: int
    heard: int


@dataclass(frozen=True, slots=True)
class TrunkChanged:
    """A trunk knows where we are, or no longer does. `reason`: why not, in words."""

    at: float
    trunk: str
    registered: bool
    reason: str


CallEvent = CallPlaced | CallRinging | CallConnected | DigitHeard | CallFinished
PbxEvent = (
    TrunkChanged | MailboxChanged | BindingChanged | AccessDenied | CallEvent | SourceBanned | SourceReleased
)


def recording_name(call: str, part: int) -> str:
    """Of the ``part``-th recording of a call, as a name of a file: `<call>`, `<call>~2`."""
    return call if part == 1 else f"{call}~{part}"


def read_recording_name(name: str) -> tuple[str, int]:
    """The call and the number of its recording."""
    call, _, part = name.partition("~")
    return call, int(part) if part.isascii() and part.isdigit() else 1
