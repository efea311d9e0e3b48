"""What a PBX remembers of each call, and what it tells of."""

from __future__ import annotations

from dataclasses import dataclass, field

from callwright.pbx.registrar import Change

__all__ = [
    "AccessDenied",
    "BindingChanged",
    "BranchRecord",
    "CallFinished",
    "CallPlaced",
    "CallRecord",
    "PbxEvent",
    "Relayed",
    "SourceBanned",
    "SourceReleased",
]


@dataclass(slots=True)
class BranchRecord:
    """One contact that was called. `status` is its final response's, None when there was none (yet)."""

    contact: str
    call_id: str
    status: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Relayed:
    """RTP and RTCP that went through a relay, packets. `refused`: from a source that is not the peer's."""

    from_caller: int = 0
    from_callee: int = 0
    rtcp_from_caller: int = 0
    rtcp_from_callee: int = 0
    refused: int = 0


@dataclass(slots=True)
class CallRecord:
    """One call through the PBX. Moments are monotonic seconds of the machine's `now`, None: not yet, never.

    `caller` is the account that credentials proved, None where none were asked for; `callee` the user that
    was dialled. `status` is the final response that the caller got, `ended_by` "caller", "callee" or "pbx".
    """

    id: int
    caller: str | None
    callee: str | None
    call_id: str
    started_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: int | None = None
    reason: str = ""
    ended_by: str | None = None
    branches: list[BranchRecord] = field(default_factory=list)
    relayed: Relayed | None = None

    @property
    def over(self) -> bool:
        return self.ended_at is not None

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


PbxEvent = BindingChanged | AccessDenied | CallPlaced | CallFinished | SourceBanned | SourceReleased
