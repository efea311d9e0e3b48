"""The life of a server as a table: the workers, the tests and the docs read it.

A server is a machine with an agent. It moves by compare-and-set: a move names the states it leaves, so that
two workers, or a worker and the API, never undo each other's change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "MOVES",
    "STATES",
    "Deadlines",
    "Event",
    "Move",
    "State",
    "StateRule",
    "deadline_after",
    "enters",
    "render_markdown",
    "sources",
]


class State(StrEnum):
    PENDING = "pending"  # wanted; the provider was not asked yet
    CREATING = "creating"  # the provider was asked, or will be within this round
    CREATED = "created"  # the machine exists; nothing is installed
    STAGING = "staging"  # the agent is being installed, boots and enrols
    RUNNING = "running"  # the agent is heard
    SHUTDOWN = "shutdown"  # takes no new work and finishes what it has
    STOPPING = "stopping"  # the provider destroys the machine
    STOPPED = "stopped"
    ERROR = "error"  # something failed; the machine may or may not exist


class Event(StrEnum):
    ALLOCATE = "allocate"  # the allocator takes it up
    MADE = "made"  # the provider answered with its machine, or lists one with its tag
    RETRY = "retry"  # the provider has no machine with its tag, so nothing came of the request
    INSTALL = "install"  # the installer takes it up
    HEARD = "heard"  # its agent enrolled, or was heard again
    FAIL = "fail"  # the provider refused, or a deadline passed
    LOST = "lost"  # its agent was not heard in time
    RETIRE = "retire"  # the planner or a person ends it
    DRAINED = "drained"  # it has no work left, or its drain time is over
    REAP = "reap"  # an errored one is destroyed
    GONE = "gone"  # the provider no longer lists its machine
    REFUSE = "refuse"  # the provider could not destroy it
    RECOVER = "recover"  # a person brings back the one that they had enrolled and deleted


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a state may last; `drain` is the pool's own, and replaces the one here."""

    allocate: float = 60.0
    create: float = 300.0
    boot: float = 600.0
    heard: float = 25.0
    drain: float = 600.0
    destroy: float = 300.0
    reap: float = 60.0


@dataclass(frozen=True, slots=True)
class StateRule:
    """Who moves a server on from here, how long that may take (a field of `Deadlines`), and what happens when
    it took longer or the platform was restarted meanwhile. Empty for the final state."""

    state: State
    owner: str = ""
    deadline: str = ""
    recovery: str = ""

    @property
    def final(self) -> bool:
        return not self.owner


@dataclass(frozen=True, slots=True)
class Move:
    event: Event
    leaves: tuple[State, ...]
    enters: State
    guard: str


STATES: Mapping[State, StateRule] = {
    rule.state: rule
    for rule in (
        StateRule(
            State.PENDING, "allocator", "allocate", "the row is the queue: the next round takes it up again"
        ),
        StateRule(
            State.CREATING,
            "allocator",
            "create",
            "the provider is asked for the tag: a machine that it lists is adopted, otherwise pending again; "
            "error after the last attempt",
        ),
        StateRule(State.CREATED, "installer", "allocate", "the next round takes it up again"),
        StateRule(
            State.STAGING,
            "installer",
            "boot",
            "error when no agent enrolled in time; it is replaced and reaped",
        ),
        StateRule(
            State.RUNNING,
            "pinger",
            "heard",
            "error (lost) when it is not heard, running again when it is",
        ),
        StateRule(State.SHUTDOWN, "collector", "drain", "stopping, whatever work is left"),
        StateRule(
            State.STOPPING,
            "collector",
            "destroy",
            "destroyed again, with back-off, until the provider no longer lists it",
        ),
        StateRule(
            State.ERROR, "reaper", "reap", "destroyed, with back-off; one enrolled by hand is left alone"
        ),
        StateRule(State.STOPPED),
    )
}

_BEFORE_RUNNING = (State.PENDING, State.CREATING, State.CREATED, State.STAGING)

MOVES: tuple[Move, ...] = (
    Move(Event.ALLOCATE, (State.PENDING,), State.CREATING, "the fleet is not paused"),
    Move(Event.MADE, (State.CREATING,), State.CREATED, "the machine bears the server's tag"),
    Move(Event.RETRY, (State.CREATING,), State.PENDING, "attempts are left, and no machine bears its tag"),
    Move(Event.INSTALL, (State.CREATED,), State.STAGING, "its single-use enrolment token was made"),
    Move(Event.HEARD, (State.STAGING, State.ERROR), State.RUNNING, "its agent proved its identity"),
    Move(Event.FAIL, _BEFORE_RUNNING, State.ERROR, "the reason is in `error`"),
    Move(
        Event.LOST, (State.RUNNING,), State.ERROR, "not heard for `heard` seconds while the platform listened"
    ),
    Move(
        Event.RETIRE,
        (*_BEFORE_RUNNING, State.RUNNING, State.ERROR),
        State.SHUTDOWN,
        "the planner only ends what a provider made; a person may end any",
    ),
    Move(Event.DRAINED, (State.SHUTDOWN,), State.STOPPING, "no work is left, or `drain` seconds are over"),
    Move(Event.REAP, (State.ERROR,), State.STOPPING, "the provider made it, and its back-off is over"),
    Move(Event.GONE, (State.STOPPING,), State.STOPPED, "the provider lists no machine with its tag"),
    Move(Event.REFUSE, (State.STOPPING,), State.ERROR, "the provider still has it after the last attempt"),
    Move(
        Event.RECOVER,
        (State.SHUTDOWN, State.STOPPING, State.STOPPED),
        State.ERROR,
        "a person enrolled it; it runs when its agent is heard",
    ),
)


def sources(event: Event) -> tuple[State, ...]:
    """The states that an event may find a server in."""
    return tuple(state for move in MOVES if move.event is event for state in move.leaves)


def enters(event: Event) -> State:
    """The state that a server is in after an event."""
    return next(move.enters for move in MOVES if move.event is event)


def deadline_after(state: State, deadlines: Deadlines, drain: float | None = None) -> float | None:
    """Seconds that a server may stay in a state; None for the final one. ``drain`` is its pool's drain
    time."""
    rule = STATES[state]
    if rule.final:
        return None
    if state is State.SHUTDOWN and drain is not None:
        return drain
    seconds: float = getattr(deadlines, rule.deadline)
    return seconds


def render_markdown() -> str:
    """The table as a page of documentation, in Markdown."""
    lines = ["# The life of a server", ""]
    lines += [
        "Made from the table in `callwright/fleet/server.py`. Nothing else changes a server's state.",
        "",
    ]
    lines += ["| state | owner | deadline, s | recovery |", "|---|---|---|---|"]
    usual = Deadlines()
    for rule in STATES.values():
        if rule.final:
            lines.append(f"| {rule.state} | | final | |")
            continue
        seconds = deadline_after(rule.state, usual)
        limit = "the pool's `drain_seconds`" if rule.state is State.SHUTDOWN else f"{seconds:g}"
        lines.append(f"| {rule.state} | {rule.owner} | {limit} | {rule.recovery} |")
    lines += ["", "| on | leaves | enters | only if |", "|---|---|---|---|"]
    for move in MOVES:
        lines.append(f"| {move.event} | {', '.join(move.leaves)} | {move.enters} | {move.guard} |")
    return "\n".join([*lines, ""])
