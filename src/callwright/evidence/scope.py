"""Everything about the calls of a run on one time axis: states, MOS, loss, jitter and audio, ready to be
drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from callwright.evidence.charts import (
    MOS_BOTTOM,
    MOS_TOP,
    PLOT_HEIGHT,
    Axis,
    curve,
    jitter_top,
    mos_y,
    share_y,
    wave_path,
)
from callwright.evidence.figures import milliseconds, percent
from callwright.evidence.naming import came_short, heard_silence
from callwright.evidence.waveform import Waveform
from callwright.outcome.call import CallOutcome, ReceivedOutcome, SecondOfStream, StreamOutcome
from callwright.outcome.terms import CallState, Direction
from callwright.quality.bands import band

DEAF_SECONDS = 2
"""Seconds in a row without a packet from which a call is drawn as deaf."""

_STATE_WORDS = {
    CallState.CALLING: "Calling",
    CallState.INCOMING: "Called",
    CallState.TRYING: "Trying",
    CallState.RINGING: "Ringing",
    CallState.EARLY_MEDIA: "Early media",
    CallState.ANSWERED: "Talking",
    CallState.CONFIRMED: "Talking",
    CallState.HELD: "On hold",
    CallState.RESUMED: "Talking",
    CallState.HELD_BY_PEER: "Held by the peer",
    CallState.RESUMED_BY_PEER: "Talking",
    CallState.REDIRECTED: "Redirected",
    CallState.CANCELED: "Canceled",
    CallState.FAILED: "Failed",
    CallState.ENDED: "Ended",
}
_LAST = {CallState.CANCELED, CallState.FAILED, CallState.ENDED}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the axis, in percent, with a word in it."""

    left: float
    width: float
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """Units of the plot."""

    x: float
    width: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One lane of the scope."""

    name: str
    detail: str
    summary: str
    summary_detail: str = ""
    alarm: bool = False
    band: str = ""
    top: str = ""
    bottom: str = ""
    curve: str = ""
    limit: float | None = None
    base: bool = False
    bars: Sequence[Bar] = ()
    spans: Sequence[Span] = ()
    gaps: Sequence[Span] = ()
    wave: str = ""
    says: str = ""
    """The message of the chart, for who cannot see it."""


@dataclass(frozen=True, slots=True)
class Group:
    """One direction of one call. `kind` is "send" (caller to callee) or "receive"."""

    kind: str
    title: str
    detail: str
    plots: Sequence[Plot]


@dataclass(slots=True)
class Scope:
    """All calls on one axis."""

    axis: Axis
    states: list[Plot] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def build_scope(
    calls: Sequence[tuple[str, CallOutcome]],
    started_at: float | None,
    waves: Mapping[str, tuple[str, Waveform]],
    min_mos: float,
    *,
    at_least: float = 0.0,
    mirrored: Set[str] = frozenset(),
) -> Scope | None:
    """The scope of named calls; None when not one of them has a time. `waves` is by call id: kind and
    outline. The axis is `at_least` so many seconds long, for calls that still go on. `mirrored`: ids of calls
    whose other end is drawn too, so that what they sent is shown where it was heard.
    """
    timed = [
        (name, call, (call.started_at or 0.0) - (started_at or 0.0))
        for name, call in calls
        if call.started_at
    ]
    ends = [offset + call_end(call) for _, call, offset in timed]
    if not timed or max(ends) <= 0:
        return None
    jitters = [
        value
        for _, call, _ in timed
        for second in call.seconds
        for value in (second.sent.jitter_ms, second.received.jitter_ms)
        if value is not None
    ]
    drawer = _Drawer(Axis.to(max(*ends, at_least)), jitter_top(jitters), min_mos)
    scope = Scope(drawer.axis)
    for name, call, offset in timed:
        scope.states.append(drawer.states(name, call, offset))
        wave = waves.get(call.id)
        outgoing = call.direction is Direction.OUTGOING
        for received in (True, False):
            if not call.answered and not any(
                (s.received if received else s.sent).packets for s in call.seconds
            ):
                continue
            if not received and call.id in mirrored:
                continue
            plots = drawer.direction(call, offset, received, wave)
            kind = "receive" if received == outgoing else "send"
            title = f"To {name}" if received else f"From {name}"
            detail = f"as {name} heard it" if received else "as the far end reported it by RTCP"
            scope.groups.append(Group(kind, title, detail, plots))
    return scope


def call_end(call: CallOutcome) -> float:
    """Seconds from the start of a call to its end, as far as is known."""
    last_state = call.states[-1].at if call.states else 0.0
    last_second = call.seconds[-1].at + 1 if call.seconds else 0.0
    return last_state if call.states and call.states[-1].state in _LAST else max(last_state, last_second)


class _Drawer:
    def __init__(self, axis: Axis, jitter: float, min_mos: float) -> None:
        self.axis = axis
        self._jitter_top = jitter
        self._min_mos = min_mos
        self._call_end = axis.end
        """End of the call that is being drawn, in seconds of the axis."""

    # -- states ----------------------------------------------------------------------------------------------

    def states(self, name: str, call: CallOutcome, offset: float) -> Plot:
        spans: list[Span] = []
        deaf = 0.0
        for index, reached in enumerate(call.states):
            word = _STATE_WORDS[reached.state]
            ending = call.states[index + 1].at if index + 1 < len(call.states) else call_end(call)
            if reached.state in _LAST or ending <= reached.at:
                continue
            if word != "Talking":
                spans.append(self._span(offset + reached.at, offset + ending, word))
                continue
            for start, until, heard in _heard(call, reached.at, ending):
                deaf += 0.0 if heard else until - start
                text = "Talking" if heard else "Talking, hears nothing"
                if spans and spans[-1].text == text:
                    first = spans.pop()
                    start = first.left / 100 * self.axis.end - offset
                spans.append(self._span(offset + start, offset + until, text, "talk" if heard else "deaf"))
        count = len(call.states)
        role = "caller" if call.direction is Direction.OUTGOING else "callee"
        if deaf:
            summary, detail = f"{deaf:.1f} s deaf", f"of {milliseconds(call.duration_ms)} talking"
        else:
            last = call.states[-1].state.value.replace("_", " ") if count else "no state known"
            summary = f"{count} states" if count != 1 else "1 state"
            detail = f"{call.states[0].state.value.replace('_', ' ')} to {last}" if count > 1 else last
        number = (call.local or "").removeprefix("sip:").partition("@")[0]
        says = ", ".join(f"{s.text} for {s.width / 100 * self.axis.end:.1f} s" for s in spans)
        return Plot(
            f"{name}, {role}", number, summary, detail, alarm=deaf > 0, spans=spans, says=f"{name}: {says}"
        )

    def _span(self, start: float, end: float, text: str, kind: str = "") -> Span:
        left = self.axis.percent(start)
        width = round(self.axis.percent(end) - left, 2)
        return Span(left, width, text, kind if width > 4 or kind else "slim")

    # -- one direction ---------------------------------------------------------------------------------------

    def direction(
        self, call: CallOutcome, offset: float, received: bool, wave: tuple[str, Waveform] | None
    ) -> list[Plot]:
        total: StreamOutcome = call.received if received else call.sent
        self._call_end = offset + call_end(call)
        seconds = [(offset + s.at, s.received if received else s.sent) for s in call.seconds]
        # The last second of a call is a piece of one: too little to say that something is missing.
        while seconds and self._call_end - seconds[-1][0] < 0.5 and not seconds[-1][1].packets:
            seconds.pop()
        known = any(s.mos is not None or s.lost is not None or s.jitter_ms is not None for _, s in seconds)
        quiet = _no_sound(call, received, wave)
        plots = []
        if known or received:
            why = "no packet, so nothing to rate" if received else "not reported"
            if not received:  # reports come every few seconds: what was said holds until the next one
                seconds = _reports(seconds)
            plots = [
                self._mos(seconds, total, why, quiet),
                self._loss(seconds, total, why),
                self._jitter(seconds, total, why),
            ]
        else:
            start, end = self._bounds(call, offset)
            plots.append(
                Plot(
                    "Quality",
                    "by RTCP",
                    "not known",
                    f"{total.packets:,} packets sent" if total.packets is not None else "",
                    gaps=[self._span(start, end, "the far end sent no report, so nothing to rate")],
                    says="The far end sent no report: nothing is known.",
                )
            )
        audio = self._audio(call, offset, received, wave, total)
        return [*plots, audio] if audio is not None else plots

    def _bounds(self, call: CallOutcome, offset: float) -> tuple[float, float]:
        answered = next((s.at for s in call.states if s.state is CallState.ANSWERED), 0.0)
        return offset + answered, offset + call_end(call)

    def _gaps(
        self, seconds: Sequence[tuple[float, SecondOfStream]], values: Sequence[float | None], why: str
    ) -> list[Span]:
        gaps: list[Span] = []
        start: float | None = None
        for (at, _), value in zip(seconds, values, strict=True):
            if value is None and start is None:
                start = at
            if value is not None and start is not None:
                gaps.append(self._span(start, at, why))
                start = None
        if start is not None and seconds:
            gaps.append(self._span(start, min(seconds[-1][0] + 1, self._call_end), why))
        return gaps

    def _middle(self, at: float) -> float:
        """Of the second that begins then; the last one may be cut short by the end of the call."""
        return self.axis.x((at + max(at, min(at + 1, self._call_end))) / 2)

    def _mos(
        self, seconds: Sequence[tuple[float, SecondOfStream]], total: StreamOutcome, why: str, quiet: bool
    ) -> Plot:
        """Where no sound came, the figures are the transport's and nothing that somebody heard."""
        values = [s.mos for _, s in seconds]
        present = sorted(v for v in values if v is not None)
        overall = "of the whole call" if total.mos is not None else "no second could be rated"
        worst = f"worst second {present[0]:.2f}" if present else overall
        summary = f"{total.mos:.2f}" if total.mos is not None else "not known"
        name = band(total.mos).name.lower() if total.mos is not None else "nodata"
        if quiet and total.mos is not None:
            summary, worst, name = "silence", f"transport {total.mos:.2f}", ""
        return Plot(
            "MOS",
            "of the transport" if quiet else f"per second, limit {self._min_mos:g}",
            summary,
            worst,
            alarm=quiet or (total.mos is not None and total.mos < self._min_mos),
            band=name,
            top=f"{MOS_TOP:g}",
            bottom=f"{MOS_BOTTOM:g}",
            curve=curve([(self._middle(at), None if s.mos is None else mos_y(s.mos)) for at, s in seconds]),
            limit=mos_y(self._min_mos),
            gaps=self._gaps(seconds, values, why),
            says=f"MOS {summary}, {worst}",
        )

    def _loss(self, seconds: Sequence[tuple[float, SecondOfStream]], total: StreamOutcome, why: str) -> Plot:
        bars = []
        for at, s in seconds:
            expected = (s.packets or 0) + (s.lost or 0)
            left = self.axis.x(at)
            width = max(self.axis.x(at + 1) - left - 1.6, 1.0)
            if s.lost and expected:
                height = max(PLOT_HEIGHT * s.lost / expected, 2.0)
                bars.append(
                    Bar(
                        left + 0.8,
                        round(width, 1),
                        round(PLOT_HEIGHT - height, 1),
                        round(height, 1),
                        "lossbar",
                    )
                )
            if s.discarded and expected:
                height = max(PLOT_HEIGHT * min(s.discarded / expected, 1.0), 2.0)
                bars.append(
                    Bar(
                        left + 0.8,
                        round(width, 1),
                        round(PLOT_HEIGHT - height, 1),
                        round(height, 1),
                        "discardbar",
                    )
                )
        lost, packets = came_short(total), total.packets
        nothing = not packets and not lost
        summary = (
            "not known"
            if lost is None
            else "none came"
            if nothing
            else f"{lost:,} of {(packets or 0) + lost:,}"
            if packets is not None
            else f"{lost:,}"
        )
        late = f", {total.discarded:,} discarded" if total.discarded else ""
        detail = f"packets lost, {percent(total.loss_pct)}{late}" if lost is not None else "no report"
        if lost is not None and nothing:
            detail = "not one packet"
        return Plot(
            "Loss",
            "per second",
            summary,
            detail,
            alarm=bool(total.loss_pct and total.loss_pct >= 1) or (lost is not None and nothing),
            top="100 %",
            bottom="0",
            base=True,
            bars=bars,
            gaps=self._gaps(seconds, [None if lost is None else _expected(s) for _, s in seconds], why),
            says=f"Loss: {summary} {detail}",
        )

    def _jitter(
        self, seconds: Sequence[tuple[float, SecondOfStream]], total: StreamOutcome, why: str
    ) -> Plot:
        values = [s.jitter_ms for _, s in seconds]
        worst = (
            f"worst {milliseconds(total.max_jitter_ms)}" if total.max_jitter_ms is not None else "RFC 3550"
        )
        top = self._jitter_top
        return Plot(
            "Jitter",
            "RFC 3550",
            milliseconds(total.jitter_ms) if total.jitter_ms is not None else "not known",
            worst,
            top=f"{top:g} ms",
            bottom="0",
            curve=curve(
                [
                    (self._middle(at), None if s.jitter_ms is None else share_y(s.jitter_ms, top))
                    for at, s in seconds
                ]
            ),
            gaps=self._gaps(seconds, values, why),
            says=f"Jitter {milliseconds(total.jitter_ms)}, {worst}",
        )

    def _audio(
        self,
        call: CallOutcome,
        offset: float,
        received: bool,
        wave: tuple[str, Waveform] | None,
        total: StreamOutcome,
    ) -> Plot | None:
        if wave is None:
            return None
        kind, outline = wave
        channel = {
            "stereo": 1 if received else 0,
            "sent": None if received else 0,
            "received": 0 if received else None,
        }.get(kind)
        if channel is None or channel >= len(outline.peaks):
            return None
        start = offset + next((s.at for s in call.states if s.state is CallState.ANSWERED), 0.0)
        path = wave_path(outline.peaks[channel], self.axis.x(start), self.axis.x(start + outline.seconds))
        silence = total.silence_pct if isinstance(total, ReceivedOutcome) else None
        level = total.level_dbfs if isinstance(total, ReceivedOutcome) else None
        summary = f"{level:.0f} dBFS".replace("-", "−") if level is not None else "recorded"
        if not max(outline.peaks[channel], default=0.0):
            summary = "no sound"
        detail = f"{percent(silence)} silence" if silence is not None else f"{outline.seconds:.1f} s"
        return Plot(
            "Audio",
            "outline of the recording",
            summary,
            detail,
            wave=path,
            says=f"Audio, {summary}, {detail}",
        )


def _no_sound(call: CallOutcome, received: bool, wave: tuple[str, Waveform] | None) -> bool:
    """Whether packets went this way without a sound: as it was heard, or as we recorded what we sent."""
    if received:
        return heard_silence(call)
    if wave is None or wave[0] not in {"stereo", "sent"} or not call.sent.packets:
        return False
    return not max(wave[1].peaks[0], default=0.0)


def _expected(second: SecondOfStream) -> float | None:
    """Packets that should have come, None when nothing says that any should."""
    if second.packets is None and second.lost is None:
        return None
    return ((second.packets or 0) + (second.lost or 0)) or None


def _reports(
    seconds: Sequence[tuple[float, SecondOfStream]],
) -> list[tuple[float, SecondOfStream]]:
    """Seconds between two reports take over what the earlier one said of jitter and MOS."""
    found: list[tuple[float, SecondOfStream]] = []
    jitter: float | None = None
    mos: float | None = None
    for at, second in seconds:
        jitter = second.jitter_ms if second.jitter_ms is not None else jitter
        mos = second.mos if second.mos is not None else mos
        found.append((at, replace(second, jitter_ms=jitter, mos=mos)))
    return found


def _heard(call: CallOutcome, start: float, end: float) -> list[tuple[float, float, bool]]:
    """The stretches of talking with and without packets, in the call's own seconds."""
    silent = [
        second.at
        for second in call.seconds
        if second.received.packets == 0 and second.at >= start - 1 and second.at < end
    ]
    runs: list[tuple[float, float]] = []
    for at in silent:
        if runs and abs(runs[-1][1] - at) < 0.01:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    found: list[tuple[float, float, bool]] = []
    position = start
    for begin, until in runs:
        begin, until = max(begin, start), min(until, end)
        if until - begin < DEAF_SECONDS:
            continue
        if begin > position:
            found.append((position, begin, True))
        found.append((begin, until, False))
        position = until
    if position < end:
        found.append((position, end, True))
    return found
