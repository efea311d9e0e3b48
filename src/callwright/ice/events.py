"""What an agent is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from callwright.ice.candidate import Candidate

__all__ = ["ConsentLost", "Gathered", "IceEvent", "IceFailed", "IceSettings", "Selected"]

AddressTuple = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Gathered:
    """All local candidates are known."""

    now: float


@dataclass(frozen=True, slots=True)
class Selected:
    """Media goes by this pair from now on."""

    local: Candidate
    remote: Candidate
    now: float


@dataclass(frozen=True, slots=True)
class IceFailed:
    """No pair works; the reason is a sentence."""

    reason: str
    now: float


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """The peer has not confirmed for 30 s that it wants our media: nothing is sent any more."""

    now: float


IceEvent = Gathered | Selected | IceFailed | ConsentLost


@dataclass(frozen=True, slots=True)
class TurnServer:
    """`address` is numeric, and was permitted."""

    address: AddressTuple
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IceSettings:
    """`lite`: answer checks, make none. `stun`: a numeric server that was permitted. `relay_only`: tell and
    use nothing but the address at the TURN server."""

    lite: bool = False
    stun: AddressTuple | None = None
    turn: TurnServer | None = None
    relay_only: bool = False
