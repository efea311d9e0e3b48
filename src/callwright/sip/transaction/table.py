"""What a transaction machine is made of: states, triggers, actions, and rows that join them.

The four machines of RFC 3261 section 17 (with the corrections of RFC 6026) are data in the files beside this
one. The code in client.py and server.py obeys them, a test walks them, and the documentation is drawn from
them. A pair of state and trigger that has no row means: nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Every state of the four machines; each machine uses some of them."""

    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    ACCEPTED = "Accepted"  # RFC 6026
    TERMINATED = "Terminated"


class Trigger(StrEnum):
    """What may happen to a transaction."""

    START = "start"  # the transaction is created
    PROVISIONAL = "1xx received"
    SUCCESS = "2xx received"
    FAILURE = "300-699 received"
    REQUEST = "request repeated"
    ACK = "ACK received"
    SEND_PROVISIONAL = "user sends 1xx"
    SEND_SUCCESS = "user sends 2xx"
    SEND_FAILURE = "user sends 300-699"
    TRANSPORT_ERROR = "transport error"
    ABANDON = "user gives up"
    TIMER_A = "Timer A"
    TIMER_B = "Timer B"
    TIMER_D = "Timer D"
    TIMER_E = "Timer E"
    TIMER_F = "Timer F"
    TIMER_G = "Timer G"
    TIMER_H = "Timer H"
    TIMER_I = "Timer I"
    TIMER_J = "Timer J"
    TIMER_K = "Timer K"
    TIMER_L = "Timer L"
    TIMER_M = "Timer M"
    PATIENCE = "patience over"  # ours: the user of a server transaction never answered


class Action(StrEnum):
    """What a machine does on a transition, in the order of the row."""

    SEND = "send it"
    RESEND = "send the last message again"
    SEND_ACK = "send ACK"
    DELIVER = "tell the user"
    REPORT_TIMEOUT = "report the timeout"
    REPORT_TRANSPORT = "report the transport error"
    STOP_REPEATING = "stop repeating"
    START_A = "start A"
    START_B = "start B"
    START_D = "start D"
    START_E = "start E"
    START_F = "start F"
    START_G = "start G"
    START_H = "start H"
    START_I = "start I"
    START_J = "start J"
    START_K = "start K"
    START_L = "start L"
    START_M = "start M"
    START_PATIENCE = "start patience"
    REPEAT_DOUBLED = "repeat after twice the time"
    REPEAT_DOUBLED_TO_T2 = "repeat after twice the time, T2 at most"
    REPEAT_AT_T2 = "repeat after T2"


TIMER_STARTED_BY: Mapping[Action, Trigger] = {
    Action[f"START_{letter}"]: Trigger[f"TIMER_{letter}"] for letter in "ABDEFGHIJKLM"
} | {Action.START_PATIENCE: Trigger.PATIENCE}


@dataclass(frozen=True, slots=True)
class Row:
    """In `state`, on `trigger`: do `actions`, be in `then`. `state` None is "does not exist yet"."""

    state: State | None
    trigger: Trigger
    actions: tuple[Action, ...]
    then: State


@dataclass(frozen=True, slots=True)
class RowGuard:
    """Who sees to it that a state is left: the owner, the trigger that is the deadline, and what then
    happens."""

    owner: str
    deadline: Trigger
    recovery: str


@dataclass(frozen=True, slots=True)
class Table:
    """One machine."""

    name: str
    source: str
    rows: tuple[Row, ...]
    guards: Mapping[State, RowGuard]
    index: Mapping[tuple[State | None, Trigger], Row] = field(init=False)

    def __post_init__(self) -> None:
        index: dict[tuple[State | None, Trigger], Row] = {}
        for row in self.rows:
            key = (row.state, row.trigger)
            if key in index:
                raise ValueError(f"{self.name}: two rows for {key}")
            index[key] = row
        object.__setattr__(self, "index", index)

    @property
    def states(self) -> tuple[State, ...]:
        """Every state, in order of first mention."""
        seen: dict[State, None] = {}
        for row in self.rows:
            if row.state is not None:
                seen.setdefault(row.state)
            seen.setdefault(row.then)
        return tuple(seen)


def render_markdown(tables: Iterable[Table]) -> str:
    """The tables as a page of documentation, in Markdown."""
    lines = ["# The SIP transaction machines", ""]
    lines += ["Made from the tables in `callwright/sip/transaction/`; what is not listed does nothing.", ""]
    for table in tables:
        lines += [f"## {table.name}", "", f"Source: {table.source}.", ""]
        lines += ["| state | on | do | then |", "|---|---|---|---|"]
        for row in table.rows:
            do = ", ".join(action.value for action in row.actions) or "nothing"
            lines.append(f"| {row.state or '(none)'} | {row.trigger.value} | {do} | {row.then} |")
        lines += ["", "| state | owner | deadline | recovery |", "|---|---|---|---|"]
        for state, guard in table.guards.items():
            lines.append(f"| {state} | {guard.owner} | {guard.deadline.value} | {guard.recovery} |")
        lines.append("")
    return "\n".join(lines)
