"""The time in which audio of the far end was due, and what became of it.

Audio is due from the answer to the end, but for the time on hold. Where no packet came for half a second of
that time there is a gap, unless the sender said that it would pause: by comfort noise (RFC 3389), or by DTX
(RFC 3551 section 4.1: numbers go on, the timestamp advances by the clock, the marker is set). Both twins of
`IncomingStream` tell a timeline about pauses only, which are rare.
"""

from __future__ import annotations

from math import inf

from callwright.rtp.report import Gap, GapCause, TimelineReport

PAUSE = 0.2  # seconds without a packet from where a timeline is told
GAP = 0.5  # seconds without a packet that are a gap
SKEW = 0.2  # seconds that the timestamp may differ from the clock over a pause that is DTX
MOST_GAPS = 200
_LOST_TALKSPURTS = 3  # packets that may be missing where a stream that is known for DTX begins to talk again


class Timeline:
    """Sums are exact however long the stream is; the list of gaps is bounded."""

    __slots__ = (
        "_dtx_s",
        "_due_before",
        "_due_since",
        "_gap_s",
        "_gaps",
        "_longest",
        "_lost",
        "_open_since",
    )

    def __init__(self) -> None:
        self._due_since: float | None = None
        self._open_since = 0.0  # the time until here is settled
        self._due_before = 0.0  # seconds, of earlier spans
        self._gaps: list[Gap] = []
        self._gap_s = self._dtx_s = self._longest = 0.0
        self._lost = 0

    @property
    def knows_dtx(self) -> bool:
        """The sender has paused on purpose before."""
        return self._dtx_s > 0.0

    def expect(self, now: float) -> None:
        """Audio is due from now on."""
        if self._due_since is None:
            self._due_since = self._open_since = now

    def excuse(self, now: float, last: float | None, quiet: bool) -> None:
        """Audio is no longer due. `last`: when the last packet came; `quiet`: it was comfort noise."""
        if self._due_since is None:
            return
        self._settle(-inf if last is None else last, now, _cause_at_end(last, quiet), 0)
        self._due_before += max(0.0, now - self._due_since)
        self._due_since = None

    def paused(self, start: float, end: float, cause: GapCause, lost: int = 0, *, hole: bool = False) -> None:
        """No packet came between these times; `lost` numbers are missing between the two packets.

        `hole`: nothing else accounts for the pause, so it was not heard, however short it is.
        """
        self._settle(start, end, cause, lost, hole=hole)

    def _settle(self, start: float, end: float, cause: GapCause, lost: int, *, hole: bool = False) -> None:
        if self._due_since is None:
            return
        start = max(start, self._open_since)
        length = end - start
        if length <= 0.0:
            return
        self._open_since = end
        if cause.explained:
            self._dtx_s += length
        elif length >= GAP:
            self._gap_s += length
            self._lost += lost
            self._longest = max(self._longest, length)
            if len(self._gaps) < MOST_GAPS:
                self._gaps.append(Gap(start, length, cause))
        elif hole:
            self._gap_s += length

    def report(self, now: float, last: float | None, quiet: bool) -> TimelineReport:
        """How it stands, what has been silent until now included."""
        due_s, gap_s, dtx_s, longest = self._due_before, self._gap_s, self._dtx_s, self._longest
        gaps = self._gaps
        if self._due_since is not None:
            due_s += max(0.0, now - self._due_since)
            start = max(self._open_since, -inf if last is None else last)
            length, cause = now - start, _cause_at_end(last, quiet)
            if cause.explained:
                dtx_s += max(0.0, length) if length >= PAUSE else 0.0
            elif length >= GAP:
                gap_s += length
                longest = max(longest, length)
                gaps = [*gaps, Gap(start, length, cause, to_end=True)]
        return TimelineReport(due_s, gap_s, dtx_s, tuple(gaps), longest, self._lost)


def cause_of(
    *,
    first: bool,
    quiet: bool,
    fresh: bool,
    new: bool,
    step: int,
    marker: bool,
    skew: float | None,
    known: bool,
) -> GapCause:
    """Why no packet came before this one.

    `quiet`: comfort noise was the last; `fresh`: another run of numbers begins; `new`: neither a duplicate
    nor out of order; `step`: how far the number moved; `skew`: seconds by which the timestamp differs from
    the clock, None where that cannot be told; `known`: the stream has made use of DTX before.
    """
    if first:
        return GapCause.LATE
    if quiet:
        return GapCause.NOISE
    if fresh:
        return GapCause.REPLACED
    by_clock = new and skew is not None and -SKEW < skew < SKEW
    if by_clock and ((step == 1 and marker) or (1 < step <= _LOST_TALKSPURTS and known)):
        return GapCause.DTX
    return GapCause.LOST if new and step > 1 else GapCause.PAUSED


def is_hole(cause: GapCause, elapsed: float, skew: float | None) -> bool:
    """Whether a pause in which no number is missing held audio that never came.

    Where the timestamp did not go on with the clock, the audio was late: the jitter buffers judge that.
    """
    return cause is GapCause.PAUSED and (skew is None or skew < elapsed / 2)


def _cause_at_end(last: float | None, quiet: bool) -> GapCause:
    if last is None:
        return GapCause.NEVER
    return GapCause.NOISE if quiet else GapCause.STOPPED
