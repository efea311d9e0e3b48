"""The life of a run as a table: code, tests and docs read it.

A run moves by compare-and-set: a transition names the phases it leaves, and holds only for the attempt it was
meant for. Whatever an older attempt says later changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "FINAL",
    "PHASES",
    "TRANSITIONS",
    "Event",
    "Phase",
    "PhaseRule",
    "Transition",
    "render_markdown",
    "sources",
]


class Phase(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"  # an agent has it; nothing was sent to the target yet
    RUNNING = "running"  # the agent has announced its first request: a call may be on the wire
    PASSED = "passed"
    FAILED = "failed"
    INVALID = "invalid"
    ERROR = "error"
    CANCELED = "canceled"


class Event(StrEnum):
    CLAIM = "claim"  # an agent asks to run this attempt
    INTEND = "intend"  # it is about to send its first request
    RELEASE = "release"  # it gives an attempt back that has sent nothing
    FINISH = "finish"  # its result
    STOP = "stop"  # somebody stops the run, or the kill switch does
    LEASE_EXPIRED = "lease_expired"  # its agent was not heard in time
    OVERDUE = "overdue"  # nobody took it, or it lasts longer than its document can


@dataclass(frozen=True, slots=True)
class PhaseRule:
    """Who must move a run on from here, until when, and what happens otherwise. Empty for a final phase."""

    phase: Phase
    final: bool
    owner: str = ""
    deadline: str = ""
    recovery: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    event: Event
    leaves: tuple[Phase, ...]
    enters: tuple[Phase, ...]
    guard: str


PHASES: Mapping[Phase, PhaseRule] = {
    rule.phase: rule
    for rule in (
        PhaseRule(
            Phase.QUEUED,
            False,
            "the keeper",
            "queue_patience after created_at",
            "published again after a restart; overdue, it ends as error",
        ),
        PhaseRule(
            Phase.STARTING,
            False,
            "the agent that claimed it",
            "lease_until",
            "queued again as the next attempt, while attempts are left; else error",
        ),
        PhaseRule(
            Phase.RUNNING,
            False,
            "the agent that claimed it",
            "lease_until, and started_at plus what the document may last",
            "error: a call may have been placed, so it is never placed again",
        ),
        *(
            PhaseRule(phase, True)
            for phase in (Phase.PASSED, Phase.FAILED, Phase.INVALID, Phase.ERROR, Phase.CANCELED)
        ),
    )
}

FINAL = frozenset(phase for phase, rule in PHASES.items() if rule.final)

_ENDS = (Phase.PASSED, Phase.FAILED, Phase.INVALID, Phase.ERROR, Phase.CANCELED)

TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        Event.CLAIM,
        (Phase.QUEUED,),
        (Phase.STARTING,),
        "the attempt is the current one, no stop was asked for, the kill switch is released",
    ),
    Transition(
        Event.INTEND,
        (Phase.STARTING,),
        (Phase.RUNNING,),
        "the same attempt and agent, no stop was asked for, the kill switch is released",
    ),
    Transition(
        Event.RELEASE,
        (Phase.STARTING,),
        (Phase.QUEUED, Phase.ERROR),
        "the same attempt and agent; attempt + 1, or error when the document says `retry: never`",
    ),
    Transition(Event.FINISH, (Phase.STARTING, Phase.RUNNING), _ENDS, "the same attempt and agent"),
    Transition(
        Event.STOP, (Phase.QUEUED,), (Phase.CANCELED,), "a run that an agent has is asked to finish instead"
    ),
    Transition(
        Event.LEASE_EXPIRED,
        (Phase.STARTING,),
        (Phase.QUEUED, Phase.ERROR, Phase.CANCELED),
        "queued as attempt + 1 while attempts are left, the document allows it and no stop was asked for",
    ),
    Transition(
        Event.LEASE_EXPIRED,
        (Phase.RUNNING,),
        (Phase.ERROR, Phase.CANCELED),
        "canceled when a stop was asked for",
    ),
    Transition(
        Event.OVERDUE,
        (Phase.QUEUED, Phase.STARTING, Phase.RUNNING),
        (Phase.ERROR, Phase.CANCELED),
        "canceled when a stop was asked for",
    ),
)


def sources(event: Event) -> tuple[Phase, ...]:
    """The phases that an event may find a run in."""
    return tuple(phase for move in TRANSITIONS if move.event is event for phase in move.leaves)


def render_markdown() -> str:
    """The table as a page of documentation, in Markdown."""
    lines = ["# The life of a run", ""]
    lines += [
        "Made from the table in `callwright/control/runs/transitions.py`. Nothing else changes a run.",
        "",
    ]
    lines += ["| phase | owner | deadline | recovery |", "|---|---|---|---|"]
    for rule in PHASES.values():
        if rule.final:
            lines.append(f"| {rule.phase} | | final | |")
        else:
            lines.append(f"| {rule.phase} | {rule.owner} | {rule.deadline} | {rule.recovery} |")
    lines += ["", "| on | leaves | enters | only if |", "|---|---|---|---|"]
    for move in TRANSITIONS:
        leaves, enters = ", ".join(move.leaves), ", ".join(move.enters)
        lines.append(f"| {move.event} | {leaves} | {enters} | {move.guard} |")
    return "\n".join([*lines, ""])
