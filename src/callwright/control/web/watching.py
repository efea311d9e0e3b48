"""What is known of a run while it goes on, out of what its agent tells. Pure: events in, words out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callwright.control import awaiting
from callwright.control.awaiting import Awaited, Reason
from callwright.control.runs.model import Waiting
from callwright.control.runs.transitions import Phase
from callwright.dispatch.messages.live import Progress
from callwright.evidence.figures import percent
from callwright.evidence.ladder import Ladder
from callwright.evidence.ladder_file import ladder_from_json
from callwright.evidence.load_charts import limits_of, load_charts
from callwright.evidence.scope import Scope, build_scope
from callwright.evidence.shown import one_line
from callwright.outcome.call import (
    CallOutcome,
    ReceivedOutcome,
    Second,
    SecondOfStream,
    StateReached,
    StreamOutcome,
)
from callwright.outcome.load import LoadOutcome
from callwright.outcome.terms import CallState, Direction, Verdict
from callwright.quality.bands import band
from callwright.scenario.actions import Call, Options, Wait
from callwright.scenario.scenario import Scenario

MOST_CALLS = 4
"""Calls that are drawn while they go on; the page of the finished run has more."""

_TALKING = frozenset(
    {
        CallState.ANSWERED,
        CallState.CONFIRMED,
        CallState.RESUMED,
        CallState.RESUMED_BY_PEER,
    }
)
_LOAD_COLUMNS = ("at", "span", "target_rate", "rate", "active", "failed", "pdd_p95", "limited")
_SAYS = {
    CallState.CALLING: "{who} calls{whom}.",
    CallState.INCOMING: "The call has come to {who}.",
    CallState.TRYING: "{who} calls{whom}; the call is on its way.",
    CallState.RINGING: "It rings{at}.",
    CallState.EARLY_MEDIA: "{who} hears audio before the answer.",
    CallState.ANSWERED: "{who}{and_whom} are talking.",
    CallState.CONFIRMED: "{who}{and_whom} are talking.",
    CallState.HELD: "{who} holds the call.",
    CallState.RESUMED: "{who}{and_whom} are talking again.",
    CallState.HELD_BY_PEER: "{who} is on hold.",
    CallState.RESUMED_BY_PEER: "{who}{and_whom} are talking again.",
    CallState.REDIRECTED: "{who} was sent elsewhere.",
    CallState.CANCELED: "The call of {who} was canceled.",
    CallState.FAILED: "The call of {who} was refused{code}.",
    CallState.ENDED: "The call of {who} has ended.",
}


_NOBODY = (Reason.AGENT, Reason.HEARD, Reason.DRAINED)  # nobody carries runs out, so no time can be told


@dataclass(frozen=True, slots=True)
class SoFar:
    """One of the four who may be at fault, while nobody is blamed yet."""

    name: str
    word: str
    fact: str


def _waits(pool: str, waits_for: Awaited | None, waiting: Waiting | None) -> str:
    """A sentence that a reader can plan by, and none that pretends to know."""
    here = awaiting.sentence(waits_for) if waits_for else f"It waits for an agent of the pool {pool}."
    if waiting is None or (waits_for is not None and waits_for.reason in _NOBODY):
        return here
    place = f"{waiting.ahead:,} {'run is' if waiting.ahead == 1 else 'runs are'} ahead of it."
    if waiting.ahead == 0:
        place = "It is next in line."
    elif waits_for is not None and waits_for.reason is Reason.TURN:
        place = ""
    begins = "" if waiting.seconds is None else f"It begins in about {_about(waiting.seconds)}."
    return " ".join(filter(None, (here, place, begins)))


def _about(seconds: float) -> str:
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{round(seconds / size)} {unit}s"
    if seconds >= 45:
        return "a minute"
    return f"{max(5, 5 * round(seconds / 5))} seconds"


@dataclass(slots=True)
class _Seen:
    """A call as it was told."""

    id: str
    party: str
    outgoing: bool
    first_at: float
    states: list[StateReached] = field(default_factory=list)
    seconds: list[Second] = field(default_factory=list)


class Watching:
    """`scenario` None: the document cannot be read here, and the names are those of the events."""

    def __init__(self, scenario: Scenario | None, phase: str, pool: str) -> None:
        self.scenario = scenario
        self.phase = phase
        self.pool = pool
        self.awaited: Awaited | None = None
        self.waiting: Waiting | None = None
        """Of a run that is queued, as it was looked up last."""
        self.at = 0.0
        """Seconds since the run began, of the last event."""
        self.ladder = Ladder((), (), 0.0)
        self.more_messages = 0
        self._calls: dict[str, _Seen] = {}
        self._registered: list[str] = []
        self._note = ""
        self._load: Mapping[str, Any] | None = None
        self._loads: dict[str, dict[str, list[Any]]] = {}  # id -> column -> a value a second
        self._last: tuple[str, StateReached] | None = None

    def take(self, event: Progress) -> None:
        """An event of the agent, whatever is in it."""
        self.at = max(self.at, event.at)
        data = event.data
        try:
            match event.kind:
                case "state":
                    self._state(event.at, data)
                case "states":
                    for call in data.get("calls", ()):
                        self._states(event.at, call)
                case "metrics":
                    for figures in data.get("calls", ()):
                        self._second(event.at, figures)
                case "registration":
                    self._registration(data)
                case "phase":
                    self.phase = str(data.get("phase", self.phase))
                case "note":
                    self._note = one_line(str(data.get("text", "")), 200)
                case "load":
                    self._note = _load_in_words(data)
                    self._load = data
                    self._load_second(data)
                case "ladder":
                    self.ladder = ladder_from_json(data)
                    self.more_messages = int(data.get("more", 0))
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
        ):  # an agent of another version: it is only watched
            return

    # -- taking

    def _call(self, id_: str, party: str, at: float) -> _Seen:
        if id_ not in self._calls:
            outgoing = id_.startswith("step.")
            self._calls[id_] = _Seen(id_, party or self._party_of(id_), outgoing, at)
        return self._calls[id_]

    def _party_of(self, id_: str) -> str:
        holder = id_.partition("/")[0]
        if self.scenario is not None and holder.startswith("step."):
            try:
                return self.scenario.action(holder).party
            except KeyError:
                return holder
        return holder

    def _state(self, at: float, data: Mapping[str, Any]) -> None:
        state = CallState(data["state"])
        call = self._call(str(data["call"]), str(data.get("party") or ""), at)
        reached = StateReached(round(at - call.first_at, 3), state, data.get("code"))
        if call.states and call.states[-1].state is reached.state:
            return
        call.states.append(reached)
        self._last = (call.id, reached)

    def _states(self, at: float, data: Mapping[str, Any]) -> None:
        """All states of a call: what a reader who came late, or lost an event, has not heard."""
        call = self._call(str(data["call"]), str(data.get("party") or ""), at)
        states = [
            StateReached(round(float(since), 3), CallState(state), code)
            for since, state, code in data["states"]
        ]
        if len(states) <= len(call.states):
            return
        call.first_at, call.states = at - float(data["ago"]), states
        if self._last is None or call.outgoing:
            self._last = (call.id, states[-1])

    def _second(self, at: float, figures: Mapping[str, Any]) -> None:
        second = Second.from_json(
            {
                "at": float(figures["at"]),
                "sent": figures.get("sent") or {},
                "received": figures.get("received") or {},
            }
        )
        call = self._call(str(figures["call"]), str(figures.get("party") or ""), at)
        if not call.seconds or second.at > call.seconds[-1].at:
            call.seconds.append(second)

    def _load_second(self, data: Mapping[str, Any]) -> None:
        """A second of a load; one that came before is not taken twice."""
        columns = self._loads.setdefault(str(data.get("load", "")), {name: [] for name in _LOAD_COLUMNS})
        at = float(data["at"])
        if columns["at"] and at <= columns["at"][-1]:
            return
        for name, values in columns.items():
            values.append(data.get(name))

    def _registration(self, data: Mapping[str, Any]) -> None:
        if data.get("registered"):
            self._registered.append(self._party_of(str(data.get("id", ""))))

    # -- telling

    @property
    def word(self) -> str:
        return {"queued": "Queued.", "starting": "Starting."}.get(self.phase, "Running.")

    @property
    def sentence(self) -> str:
        if self.phase == Phase.QUEUED:
            return _waits(self.pool, self.awaited, self.waiting)
        if self._last is not None:
            return self._talking() or self._of_call(*self._last)
        if self._note:
            return self._note
        if self._registered:
            return f"{self._registered[-1]} is registered."
        if self.phase == Phase.STARTING:
            return "The agent prepares its phones."
        return "The first step is under way."

    def _talking(self) -> str:
        """For how long, and who hears whom, as soon as a second of audio was told; else nothing."""
        assert self._last is not None
        call = self._calls[self._last[0]]
        answered = next((r for r in call.states if r.state is CallState.ANSWERED), None)
        if self._last[1].state not in _TALKING or answered is None:
            return ""
        up = [c for c in self._calls.values() if c.seconds and c.states and c.states[-1].state in _TALKING]
        if not up:
            return ""
        seconds = max(0.0, self.at - call.first_at - answered.at)
        deaf = [c.party for c in up if not c.seconds[-1].received.packets]
        who = f"{call.party} and {self._whom(call) or 'the other side'}"
        if len(deaf) == len(up):
            return f"{who} have talked for {seconds:.0f} s and hear nothing."
        if deaf:
            return f"{who} have talked for {seconds:.0f} s; {deaf[0]} hears nothing."
        hear = f"{up[0].party} hears the other side" if len(up) == 1 else "they hear each other"
        return f"{who} have talked for {seconds:.0f} s, and {hear}."

    def _of_call(self, id_: str, reached: StateReached) -> str:
        call = self._calls[id_]
        # Both ends of a call may be ours: the caller's words are those that people follow.
        whom = self._whom(call)
        return (
            _SAYS[reached.state]
            .format(
                who=call.party,
                whom=f" {whom}" if whom else "",
                at=f" at {whom if call.outgoing else call.party}" if whom or not call.outgoing else "",
                and_whom=f" and {whom}" if whom else " and the other side",
                code=f" with {reached.code}" if reached.code else "",
            )
            .replace("  ", " ")
        )

    def _whom(self, call: _Seen) -> str:
        if self.scenario is None:
            return ""
        if call.outgoing:
            try:
                action = self.scenario.action(call.id.partition("/")[0])
            except KeyError:
                return ""
            return one_line(action.dial_destination, 60) if isinstance(action, Call) else ""
        others = [other.party for other in self._calls.values() if other.outgoing]
        return others[-1] if others else ""

    @property
    def is_load(self) -> bool:
        """Whether the load engine places the calls, which are then not shown one by one."""
        actions = self.scenario.actions() if self.scenario is not None else ()
        return any(isinstance(action, Call) and action.is_load for action in actions)

    @property
    def loads(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Each load that is under way: whose it is, and its charts."""
        written = self.scenario.conditions if self.scenario is not None else ()
        limits = limits_of([condition.text for condition in written])
        found = []
        for id_, seconds in self._loads.items():
            placed = any(rate for rate in seconds["target_rate"])  # an answerer is asked for no rate
            columns = {name: tuple(row) for name, row in seconds.items()}
            load = LoadOutcome(id=id_, role="caller" if placed else "answerer", seconds=columns)
            found.append((not placed, self._party_of(id_), load_charts(load, limits)))
        return [(party, charts) for _, party, charts in sorted(found, key=lambda load: load[0])]

    @property
    def so_far(self) -> list[SoFar]:
        """Target, network, platform and test: what each has shown until now."""
        return [self._target(), self._network(), self._platform(), self._test()]

    def _target(self) -> SoFar:
        answers = [r for call in self._calls.values() if call.outgoing for r in call.states]
        failed = next((r for r in answers if r.state is CallState.FAILED), None)
        answered = next((r for r in answers if r.state is CallState.ANSWERED), None)
        rings = next((r for r in answers if r.state is CallState.RINGING), None)
        if failed is not None:
            return SoFar("Target", "refused", f"{failed.code or 'No answer'} after {failed.at:.2f} s.")
        if answered is not None:
            return SoFar("Target", "answered", f"{answered.code or 200} after {answered.at:.2f} s.")
        if rings is not None:
            return SoFar("Target", "rings", f"{rings.code or 180} after {rings.at:.2f} s.")
        if self._load is not None:
            return SoFar("Target", "under load", f"{int(self._load['active']):,} calls under way.")
        if self._registered:
            return SoFar("Target", "accepts", f"{len(self._registered)} registered.")
        return SoFar("Target", "not asked yet", "Nothing was sent to it.")

    def _network(self) -> SoFar:
        packets = lost = 0
        jitter = 0.0
        for call in self._calls.values():
            for second in call.seconds:
                packets += second.received.packets or 0
                lost += second.received.lost or 0
                jitter = max(jitter, second.received.jitter_ms or 0.0)
        if not packets and not lost:
            return SoFar("Network", "not seen yet", "No packet of audio came yet.")
        share = percent(100 * lost / (packets + lost))
        return SoFar(
            "Network",
            "loses" if lost else "quiet",
            f"{lost:,} of {packets + lost:,} packets lost, {share}; jitter under {jitter + 0.5:.0f} ms.",
        )

    def _platform(self) -> SoFar:
        if self.phase == Phase.QUEUED:
            return SoFar("Platform", "waits", f"For an agent of {self.pool}.")
        if self.phase == Phase.STARTING:
            return SoFar("Platform", "prepares", "An agent has the run.")
        return SoFar("Platform", "at work", "Its own error is shown when the run has ended.")

    def _test(self) -> SoFar:
        steps = len(self.scenario.steps) if self.scenario is not None else 0
        placed = [call.id.split(".")[1] for call in self._calls.values() if call.outgoing]
        if self._load is not None:
            placed += str(self._load.get("load", "")).split(".")[1:2]
        step = max((int(s) for s in placed if s.isdigit()), default=0) + 1
        word = f"step {min(step, steps)} of {steps}" if steps else "under way"
        count = len(self.scenario.conditions) if self.scenario is not None else 0
        return SoFar("Test", word, f"{count} conditions wait for the end." if count else "Judged at the end.")

    @property
    def planned(self) -> float:
        """Seconds that the axis is long from the beginning, so that nothing moves while it fills."""
        return planned_seconds(self.scenario) if self.scenario is not None else 10.0

    def scope(self, min_mos: float = 3.5) -> Scope | None:
        """The calls so far on one axis."""
        outcomes = [self._outcome(call) for call in list(self._calls.values())[-MOST_CALLS:]]
        named = [(outcome.party or outcome.id, outcome) for outcome in outcomes]
        return build_scope(named, 1.0, {}, min_mos, at_least=self.planned) if named else None

    def _outcome(self, call: _Seen) -> CallOutcome:
        received = ReceivedOutcome(**_totals([s.received for s in call.seconds]))
        return CallOutcome(
            verdict=Verdict.PASSED,
            blame=None,
            reason="",
            id=call.id,
            party=call.party,
            direction=Direction.OUTGOING if call.outgoing else Direction.INCOMING,
            started_at=1.0 + call.first_at,
            states=tuple(call.states),
            seconds=tuple(call.seconds),
            sent=StreamOutcome(**_totals([s.sent for s in call.seconds])),
            received=received,
            band=band(received.mos).name if received.mos is not None else None,
        )


def _totals(seconds: list[SecondOfStream]) -> dict[str, Any]:
    def total(name: str) -> int | None:
        known = [value for second in seconds if (value := getattr(second, name)) is not None]
        return sum(known) if known else None

    packets, lost = total("packets"), total("lost")
    rated = sorted(second.mos for second in seconds if second.mos is not None)
    jitters = [second.jitter_ms for second in seconds if second.jitter_ms is not None]
    return {
        "packets": packets,
        "lost": lost,
        "discarded": total("discarded"),
        "mos": rated[len(rated) // 2] if rated else None,
        "jitter_ms": sum(jitters) / len(jitters) if jitters else None,
        "max_jitter_ms": max(jitters, default=None),
        "loss_pct": 100 * (lost or 0) / (packets + (lost or 0)) if packets else None,
    }


def _load_in_words(data: Mapping[str, Any]) -> str:
    """A second of a load."""
    words = f"{float(data['rate']):.4g} calls/s, {int(data['active']):,} under way"
    failed = int(data["failed"])
    words += f", {failed:,} failed in this second" if failed else ""
    delay = data.get("pdd_p95")
    words += f", post-dial delay p95 {float(delay):.3g} ms" if delay is not None else ""
    return f"{words} ({one_line(str(data['limited']), 100)})" if data.get("limited") else words


def planned_seconds(scenario: Scenario) -> float:
    """How long it takes when all goes well."""
    seconds = 0.0
    for step in scenario.steps:
        longest = 0.0
        for action in step.actions:
            if isinstance(action, Call):
                talk = action.cancel_after if action.cancel_after is not None else action.max_duration + 1.5
                calls = action.placing_seconds - 1 / max(action.highest_rate, 1e-3)
                longest = max(longest, talk + calls)
            elif isinstance(action, Wait):
                longest = max(longest, action.seconds)
            elif isinstance(action, Options):
                longest = max(longest, action.count * action.interval)
        seconds += longest
    return max(2.0, min(seconds, 3_600.0))
