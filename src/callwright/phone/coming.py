"""What came of the audio that was due, once it is known how the call ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from callwright.outcome.call import SilentGap
from callwright.outcome.terms import EndedBy
from callwright.rtp.report import Gap, GapCause, MediaReport, ReceivedReport

_BEFORE_BYE = 1.0
"""Seconds of silence before the far end's BYE that are the hanging up: its first copy may have been lost."""
_AFTER_RTCP_BYE = 5.0
"""Seconds that may pass from its goodbye by RTCP to its BYE."""
_GAP = 0.5
_FEW = 10  # packets from which their distance is told
_PACKET_TIMES = (0.005, 0.12)  # seconds: the shortest and the longest that are in use


@dataclass(frozen=True, slots=True)
class Coming:
    """Times in seconds. `missing`: packets that the gaps would have held, of no number that is missing."""

    due_s: float
    gap_s: float
    dtx_s: float
    missing: int
    rated: float  # share, 0 to 1, of the time that the E-model speaks of: it knows nothing of the rest
    gaps: tuple[Gap, ...]

    @property
    def heard_pct(self) -> float:
        return 100.0 * (1.0 - self.gap_s / self.due_s)

    @property
    def dtx_pct(self) -> float:
        return 100.0 * self.dtx_s / self.due_s

    def since(self, answered: float) -> tuple[SilentGap, ...]:
        """The gaps as they are told, in seconds from the answer."""
        return tuple(
            SilentGap(max(0.0, start), max(0.0, start + gap.duration_s), gap.cause.value)
            for gap in self.gaps
            for start in [gap.start - answered]
        )


def coming(report: MediaReport | None, ended_by: EndedBy | None, ptime_ms: float) -> Coming | None:
    """None where no audio was due at any time."""
    return None if report is None else coming_of(report.received, report.far_end_bye, ended_by, ptime_ms)


def coming_of(
    received: ReceivedReport, goodbye: float | None, ended_by: EndedBy | None, ptime_ms: float
) -> Coming | None:
    """As `coming`. `goodbye`: when the sender of the stream said BYE by RTCP."""
    timeline = received.timeline
    if timeline.due_s <= 0.0:
        return None
    due, gap_s, gaps = timeline.due_s, timeline.gap_s, timeline.gaps
    last = gaps[-1] if gaps else None
    if last is not None and last.to_end and last.cause is GapCause.STOPPED and ended_by is EndedBy.REMOTE:
        kept = max(0.0, _hung_up(last, goodbye) - last.start)
        due -= last.duration_s - kept
        gap_s -= last.duration_s - (kept if kept >= _GAP else 0.0)
        gaps = (*gaps[:-1], replace(last, duration_s=kept)) if kept >= _GAP else gaps[:-1]
    if due <= 0.0:
        return None
    gap_s = min(max(0.0, gap_s), due)
    packet_time = _packet_time(received, due - gap_s - timeline.dtx_s, ptime_ms)
    unnumbered = gap_s - timeline.lost * packet_time
    if unnumbered < _GAP:
        unnumbered = 0.0
    missing, rated = round(unnumbered / packet_time), 1.0 - unnumbered / due
    return Coming(due, gap_s, min(timeline.dtx_s, due - gap_s), missing, rated, gaps)


def _hung_up(tail: Gap, bye: float | None) -> float:
    """When the far end, which ended the call, began to end it: nothing is due from then on."""
    end = tail.start + tail.duration_s
    if bye is not None and end - bye < _AFTER_RTCP_BYE:
        end = min(end, max(bye, tail.start))
    return tail.start if end - tail.start < _BEFORE_BYE else end


def _packet_time(received: ReceivedReport, audible_s: float, ptime_ms: float) -> float:
    """Seconds between two packets: as they came, else as was agreed."""
    unique = received.expected - received.lost
    shortest, longest = _PACKET_TIMES
    seconds = audible_s / (unique - 1) if unique >= _FEW else ptime_ms / 1000.0
    return min(max(seconds, shortest), longest)
