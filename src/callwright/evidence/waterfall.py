"""The phases of a call from the name to the hang-up, read off the ladder and the run's own phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callwright.evidence.figures import milliseconds
from callwright.evidence.ladder import Ladder, MessageRow
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome

SETUP_SHARE = 80.0
"""Percent of the bar that the setup gets; talking is cut short into the rest."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One bar: where it starts (seconds since the run began), how long it took, and where it is drawn in
    percent.
    """

    name: str
    detail: str
    start: float
    seconds: float
    left: float = 0.0
    width: float = 0.0
    kind: str = ""
    cut: bool = False

    @property
    def took(self) -> str:
        return milliseconds(self.seconds * 1000)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The phases of one call, or of the run itself."""

    title: str
    phases: Sequence[Phase]
    scale: str
    """What the bars are to scale of, in words."""


def run_phases(outcome: RunOutcome) -> Waterfall | None:
    """Name look-ups, registrations and steps, as the runner timed them."""
    if not outcome.phases:
        return None
    end = max(phase.at + phase.duration_ms / 1000 for phase in outcome.phases) or 1.0
    phases = [
        Phase(
            _phase_words(phase.name),
            "hang up, unregister" if phase.name == "teardown" else "",
            phase.at,
            phase.duration_ms / 1000,
            round(phase.at / end * 100, 2),
            round(phase.duration_ms / 10 / end, 2),
        )
        for phase in outcome.phases
    ]
    return Waterfall("The run", phases, f"0 to {milliseconds(end * 1000)}")


def _phase_words(name: str) -> str:
    """ "Step 0" of "step.0", "The end" of "teardown"."""
    kind, _, number = name.partition(".")
    return (
        f"Step {number}" if kind == "step" and number.isdigit() else "The end" if kind == "teardown" else name
    )


def call_phases(name: str, call: CallOutcome, ladder: Ladder) -> Waterfall | None:
    """What the messages with the call's Call-ID tell; None when there is no INVITE."""
    messages = [
        m for m in ladder.messages if m.call_id == call.call_id and call.call_id and m.repeat_of is None
    ]
    marks = _marks(messages)
    if "invite" not in marks:
        return None
    streams = [s for s in ladder.streams if call.call_id in s.call_ids and s.packets > 1]
    phases: list[Phase] = []
    previous = ("INVITE", marks["invite"])
    for key, title, detail in (
        ("challenge", "challenge", "asks for credentials"),
        ("again", "INVITE", "with credentials"),
        ("trying", "100", "has the request"),
        ("ringing", "180", "rings"),
        ("progress", "183", "early media or progress"),
        ("final", "answer", ""),
    ):
        at = marks.get(key)
        if at is None or at < previous[1]:
            continue
        if key == "final":
            title, detail = marks_final(messages)
        phases.append(Phase(f"{previous[0]} to {title}", detail, previous[1], at - previous[1]))
        previous = (title, at)
    answered = call.answered and "final" in marks
    if answered and streams:
        first = min(s.at for s in streams)
        if first >= previous[1]:
            phases.append(Phase(f"{previous[0]} to first RTP", "audio", previous[1], first - previous[1]))
        last = max(s.until for s in streams)
        phases.append(Phase("Talking", "first to last packet", first, last - first, kind="media"))
    if "bye" in marks and "bye_answer" in marks:
        phases.append(
            Phase("BYE to 200", "hung up", marks["bye"], marks["bye_answer"] - marks["bye"], kind="bye")
        )
    return Waterfall(name, *_scaled(phases, marks["invite"]))


def _marks(messages: Sequence[MessageRow]) -> dict[str, float]:
    marks: dict[str, float] = {}
    for m in messages:
        if m.method == "INVITE" and m.status is None and m.label == "INVITE":
            marks.setdefault("again" if "invite" in marks else "invite", m.at)
        elif m.method == "INVITE" and m.status is not None and "final" not in marks:
            if m.status in {401, 407} and "again" not in marks:
                marks["challenge"] = m.at
            elif m.status == 100:
                marks.setdefault("trying", m.at)
            elif m.status == 180:
                marks.setdefault("ringing", m.at)
            elif m.status < 200:
                marks.setdefault("progress", m.at)
            else:
                marks["final"] = m.at
        elif m.method == "BYE":
            marks.setdefault("bye" if m.status is None else "bye_answer", m.at)
    return marks


def marks_final(messages: Sequence[MessageRow]) -> tuple[str, str]:
    """Status and meaning of the first final answer that was not a challenge."""
    row = next(
        (
            m
            for m in messages
            if m.method == "INVITE" and (m.status or 0) >= 200 and m.status not in {401, 407}
        ),
        None,
    )
    if row is None:
        return "answer", ""
    return str(row.status), "answered" if (row.status or 0) < 300 else row.reason


def _scaled(phases: Sequence[Phase], start: float) -> tuple[list[Phase], str]:
    """Place the bars: the setup to scale, the talking cut into what is left, the end at the right."""
    setup_end = max((p.start + p.seconds for p in phases if not p.kind), default=start)
    length = max(setup_end - start, 1e-6)
    talks = any(p.kind for p in phases)
    share = SETUP_SHARE if talks else 100.0
    placed = []
    for p in phases:
        if p.kind == "media":
            left, width, cut = share, 98.0 - share, True
        elif p.kind == "bye":
            left, width, cut = 98.6, 1.0, False
        else:
            left, width, cut = (p.start - start) / length * share, p.seconds / length * share, False
        kind = "ring" if p.name.startswith("180 to") else p.kind
        placed.append(Phase(p.name, p.detail, p.start, p.seconds, round(left, 2), round(width, 2), kind, cut))
    scale = f"The setup is to scale, {milliseconds(length * 1000)}"
    return placed, f"{scale}; the talking is cut short." if talks else f"{scale}."
