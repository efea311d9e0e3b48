"""What a runner tells the interpreter. See ``interpreter`` for the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callwright.outcome.call import CallOutcome
from callwright.outcome.load import LoadOutcome
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.terms import CallState, Direction


@dataclass(frozen=True, slots=True)
class RegistrationDone:
    """The first answer to a Register, good or bad."""

    id: str
    outcome: RegistrationOutcome


@dataclass(frozen=True, slots=True)
class RegistrationEnded:
    """After Unregister, or when a registration was lost: the whole story, with refreshes."""

    id: str
    outcome: RegistrationOutcome


@dataclass(frozen=True, slots=True)
class Listening:
    address: str


@dataclass(frozen=True, slots=True)
class CallArrived:
    """An INVITE for a party that listens. ``id`` is the runner's choice, unique in the run."""

    id: str
    party: str


@dataclass(frozen=True, slots=True)
class FurtherCall:
    """A call that came of the call ``of``: a transfer that its party follows, or one that takes its place."""

    id: str
    of: str
    direction: Direction
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class CallStateChanged:
    id: str
    state: CallState
    code: int | None = None


@dataclass(frozen=True, slots=True)
class CallFinished:
    """The facts of a call; the interpreter judges them and fills id, address and party."""

    id: str
    outcome: CallOutcome


@dataclass(frozen=True, slots=True)
class RequestDone:
    id: str
    outcome: RequestOutcome


@dataclass(frozen=True, slots=True)
class LoadTold:
    """A second of a load: `rate`, `active`, `attempted`, `answered`, `failed` and the like so far."""

    id: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadFinished:
    """A load is over; its outcome is judged already, since only the engine has the whole distributions."""

    id: str
    outcome: LoadOutcome


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """The runner itself could not do what an action needs: no port, no such WAV file. A fault that is not the
    target's: ``by_test`` when the document asked for what is not there."""

    address: str
    detail: str
    by_test: bool = False


Event = (
    RegistrationDone
    | RegistrationEnded
    | Listening
    | CallArrived
    | FurtherCall
    | CallStateChanged
    | CallFinished
    | RequestDone
    | LoadTold
    | LoadFinished
    | ActionFailed
)
