"""What a session measured: plain values, complete at any moment, meant to be kept and published.

Times called `at`, `start`, `first_packet` … are monotonic seconds, the `now` that was given to the session.
Durations end in `_ms` or `_s`. What cannot be known is None, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from callwright.srtp.report import SrtpReport


@dataclass(frozen=True, slots=True)
class LossPattern:
    """Which packets of a stream arrived in time, in order of sequence number, as run lengths.

    `runs` alternates good and bad, beginning with good (which may be 0): `(100, 2, 50)` is 100 good, 2 bad,
    50 good. The sums are always exact; `runs` stops growing at a limit, and `truncated` says so then.
    """

    runs: tuple[int, ...]
    good: int
    bad: int
    bad_runs: int
    truncated: bool = False

    @property
    def packets(self) -> int:
        return self.good + self.bad

    def __iter__(self) -> Iterator[bool]:
        """One bool for each packet, True for a bad one (as far as `runs` reaches)."""
        bad = False
        for length in self.runs:
            for _ in range(length):
                yield bad
            bad = not bad

    def bits(self) -> str:
        """The pattern as text, `0` for a good packet and `1` for a bad one."""
        return "".join(("1" if index % 2 else "0") * length for index, length in enumerate(self.runs))


@dataclass(frozen=True, slots=True)
class BufferReport:
    """One jitter buffer's judgement of the received stream."""

    name: str  # "fixed_50", "fixed_200", "adaptive"
    nominal_delay_ms: float  # what it was set to hold (adaptive: mean of what it chose)
    max_delay_ms: float  # the largest it chose; equal to nominal for a fixed one
    played: int
    late: int  # arrived after their play-out time
    overflow: int  # arrived too far ahead of it
    lost: int  # never arrived
    expected: int
    pattern: LossPattern  # bad: lost or discarded

    @property
    def discarded(self) -> int:
        return self.late + self.overflow

    @property
    def ppl_pct(self) -> float:
        """Percent of the expected packets that were lost or discarded: the Ppl of ITU-T G.107."""
        return 100.0 * (self.lost + self.discarded) / self.expected if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class StreamSecond:
    """One second of one direction, counted from `MediaReport.started`."""

    second: int
    packets: int
    lost: int | None
    discarded: int | None  # by the primary buffer; None in the sent direction
    jitter_ms: float | None  # the largest running jitter of the second; None when no packet told


class GapCause(StrEnum):
    """Why no packet came for a while, as far as the packets around it tell."""

    NEVER = "never began"  # no packet came at all
    LATE = "began late"
    STOPPED = "stopped"  # and nothing came after it
    LOST = "lost"  # numbers are missing
    PAUSED = "paused"  # the numbers go on, the clock of the sender does not, or nothing says that it does
    REPLACED = "replaced"  # another stream goes on after it: other numbers, another SSRC
    ELSEWHERE = "from elsewhere"  # packets came meanwhile, from an address that is not the far end's
    DTX = "dtx"
    NOISE = "comfort noise"

    @property
    def explained(self) -> bool:
        """The sender left it out on purpose: this is no gap."""
        return self in (GapCause.DTX, GapCause.NOISE)


@dataclass(frozen=True, slots=True)
class Gap:
    """Half a second or more, in which audio was due and no packet came."""

    start: float
    duration_s: float
    cause: GapCause
    to_end: bool = False  # nothing came after it


@dataclass(frozen=True, slots=True)
class TimelineReport:
    """What became of the time in which audio was due: from the answer to the end, but for holds."""

    due_s: float
    gap_s: float  # sum of all gaps, and of the shorter holes
    dtx_s: float  # left out on purpose, by DTX or comfort noise
    gaps: tuple[Gap, ...]  # the first 200, and the one at the end
    longest_gap_s: float
    lost: int  # packets whose numbers are missing in gaps: these are in `ReceivedReport.lost` as well


@dataclass(frozen=True, slots=True)
class SourceChange:
    """Audio comes from another address than before, or, the first time, than the SDP said."""

    at: float
    source: tuple[str, int]
    before: tuple[str, int] | None  # None: it is the first
    described: tuple[str, int]  # by the SDP in force


@dataclass(frozen=True, slots=True)
class StraySource:
    """Packets that were not heard, since they came from an address that is not the far end's."""

    source: tuple[str, int]
    packets: int
    first: float
    last: float
    permitted: bool  # by the policy


@dataclass(frozen=True, slots=True)
class ReceivedDigit:
    """A telephone-event (RFC 4733): its key, when the first packet of it came, how long it lasted."""

    digit: str  # 0-9 * # A-D, "!" for flash
    at: float
    duration_ms: float
    ended: bool  # an end packet was seen; else the duration is a lower bound


@dataclass(frozen=True, slots=True)
class FarEndReport:
    """A report block of the far end about the stream that we send (RFC 3550 6.4.1)."""

    at: float
    fraction_lost: float  # 0..1, since its report before
    cumulative_lost: int  # may be negative: duplicates
    highest_sequence: int  # extended
    jitter_ms: float
    rtt_ms: float | None


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """The stream from the far end. Several SSRCs, one after the other, are summed."""

    ssrc: int | None
    source: tuple[str, int] | None  # the latched address
    payload_type: int | None  # of the last audio packet
    codec: str | None
    clock_rate: int | None
    packets: int  # all of the stream, duplicates too
    octets: int  # of payload
    expected: int
    lost: int  # expected - unique
    late: int  # after their play-out time under the primary buffer (fixed 50 ms)
    discarded: int  # by the primary buffer: late and overflow
    duplicated: int
    reordered: int
    loss_pct: float
    jitter_ms: float | None  # mean over packets of the running jitter of RFC 3550 A.8
    last_jitter_ms: float | None
    max_jitter_ms: float | None
    pattern: LossPattern  # network loss alone
    buffers: tuple[BufferReport, ...]  # primary first
    first_packet: float | None
    last_packet: float | None
    timeline: TimelineReport
    ssrc_changes: int
    restarts: int  # of sequence numbers
    timestamp_jumps: int
    comfort_noise: int
    telephone_event_packets: int
    unknown_payload: int  # of a type that was not negotiated, or without a whole frame
    audio_packets: int
    series: tuple[StreamSecond, ...]

    def buffer(self, name: str) -> BufferReport:
        """The judgement of the buffer `name`; KeyError when there is none."""
        for buffer in self.buffers:
            if buffer.name == name:
                return buffer
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class SentReport:
    """The stream that we sent. Its quality is what the far end reported by RTCP, else None."""

    ssrc: int
    payload_type: int
    destination: tuple[str, int]
    packets: int
    octets: int
    telephone_event_packets: int
    skipped_frames: int  # times at which the host was too late to send at all
    first_packet: float | None
    last_packet: float | None
    lost: int | None
    loss_pct: float | None
    jitter_ms: float | None  # mean of the reports
    max_jitter_ms: float | None
    far_end_reports: tuple[FarEndReport, ...]
    unheard_since: float | None  # from then on its reports say that nothing of it arrives any more
    series: tuple[StreamSecond, ...]


@dataclass(frozen=True, slots=True)
class SchedulingError:
    """How late our own packets left, against their absolute schedule: the measuring error that we publish."""

    packets: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class MediaReport:
    """Everything that a session knows at `at`."""

    started: float | None
    at: float
    closed: bool
    sent: SentReport
    received: ReceivedReport
    digits: tuple[ReceivedDigit, ...]
    rtt_ms: float | None  # mean of the round trips seen
    max_rtt_ms: float | None
    scheduling_error: SchedulingError
    strays: int  # RTP from another source than the latched one, or refused by policy
    sources: tuple[SourceChange, ...]
    stray_sources: tuple[StraySource, ...]
    malformed: int  # RTP that is none
    rtcp_received: int
    rtcp_sent: int
    rtcp_strays: int
    rtcp_malformed: int
    far_end_cname: str | None
    far_end_bye: float | None  # when the far end said BYE by RTCP
    srtp: SrtpReport | None = None  # None: all of it was plain RTP

    @property
    def dtmf(self) -> str:
        return "".join(digit.digit for digit in self.digits)
