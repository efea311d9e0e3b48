"""One RTP stream of a load: what it sends next, and the account of what it receives.

RFC 3550 appendix A.3 for loss, A.8 for jitter; the MOS is the E-model's (G.107) with the burst ratio of the
gaps. The same arithmetic in the same order as `_media.pxi`, so that both give the same figures.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from callwright.generator.load_numbers import Numbers
from callwright.generator.loop import MediaConfig
from callwright.sip.transport import Address

RTP_HEADER = struct.Struct("!BBHII")
WINDOW = 64
"""Packets behind the newest one that are still told from duplicates."""
MOST_GAP = 3000
"""MAX_DROPOUT of RFC 3550 appendix A.1."""
LATE = 500
"""Numbers behind the newest one that are late; further back they may be another run."""
PAUSE_NS = 200_000_000
GAP_NS = 500_000_000
SKEW_NS = 200_000_000
"""By which the timestamp may differ from the clock over a pause that is DTX (see `rtp.timeline`)."""
BEFORE_BYE_NS = 1_000_000_000
"""Silence before the far end's BYE that is the hanging up: its first copy may have been lost."""
BREAK_S = 5.0
"""A timestamp that differs by more from the clock begins a new time line."""
PROOF = 5
"""Packets in order by which an address that the SDP does not name proves itself (see `rtp.latch`)."""
GOES_ON = 2
_NOISE = (13, 19)
_IN_ORDER = 100


@dataclass(slots=True, eq=False)
class Candidate:
    """Packets from where none were expected. `received`: as many of the stream have come by the next one."""

    source: Address
    ssrc: int
    number: int
    received: int
    count: int = 1


@dataclass(slots=True, eq=False)
class Stream:
    """Times in seconds of the loop's clock, but arrivals in nanoseconds of the kernel's."""

    sock: socket.socket | None
    """None where all streams share one."""
    port: int
    ssrc: int
    sequence: int
    timestamp: int
    at: int
    """Into the payload."""
    to: Address | None = None
    """By the SDP in force."""
    peer: Address | None = None
    """Who signals."""
    promised: bool = False
    """By the SDP in force: the far end sends audio."""
    theirs: int | None = None
    """Their SSRC, once it is known."""
    told: bool = False
    """SDP said their SSRC."""
    held: bool = False
    """In its turn, without sending."""
    phase: int = -1
    began: float = 0.0
    # what came
    received: int = 0
    audible: bool = False
    """Audio has come, not comfort noise alone."""
    duplicated: int = 0
    reordered: int = 0
    discarded: int = 0
    lost: int = 0
    """By gaps; what comes late after all is taken off again."""
    gaps: int = 0
    first: int = 0
    highest: int = 0
    """Extended sequence numbers."""
    window: int = 0
    jitter: float = 0.0
    transit: float = 0.0
    """Timestamp units, as the jitter."""
    first_arrival: int = 0
    first_timestamp: int = 0
    fresh: bool = True
    """The next packet begins a run of numbers."""
    awaited: int = -1
    expected_before: int = 0
    """Of earlier runs."""
    # when audio is due, and what became of that time; ns of the kernel's clock
    talked: bool = False
    """Both have promised audio once: what the far end sends alone after it is a hold."""
    due: bool = False
    due_since: int = 0
    settled: int = 0
    due_ns: int = 0
    gap_ns: int = 0
    dtx_ns: int = 0
    silences: int = 0
    missing: int = 0
    """Packets whose numbers are missing in gaps."""
    last_arrival: int = 0
    last_timestamp: int = 0
    quiet: bool = False
    """Comfort noise was the last that came."""
    # where it comes from
    out: Address | None = None
    """Where we send to: `to`, or where it has moved."""
    moved: bool = False
    """It has, since this was asked last."""
    described_at: int = 0
    """When the SDP moved it, 0 when it has not."""
    candidate: Candidate | None = None

    def expect(self, now: int) -> None:
        """Audio is due from now on."""
        if not self.due:
            self.due, self.due_since, self.settled = True, now, now

    def excuse(self, now: int, *, hung_up: bool = False) -> None:
        """Audio is no longer due. `hung_up`: since the far end has ended the call."""
        if not self.due:
            return
        self.due = False
        start = max(self.settled, self.last_arrival)
        length = max(0, now - start)
        if hung_up and self.received and length < BEFORE_BYE_NS:
            now, length = min(now, start), 0
        self.due_ns += max(0, now - self.due_since)
        if self.quiet and length >= PAUSE_NS:
            self.dtx_ns += length
        elif not self.quiet and length >= GAP_NS:
            self.gap_ns += length
            self.silences += 1

    def _paused(self, arrival: int, timestamp: int, sequence: int, marker: bool, media: MediaConfig) -> None:
        """No packet came for a while before this one."""
        length = arrival - max(self.settled, self.last_arrival)
        if length <= 0:
            return
        self.settled = arrival
        step = ((timestamp - self.last_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        skew = float(arrival - self.last_arrival) - float(step) * 1e9 / media.clock_rate
        ahead = (sequence - self.highest) & 0xFFFF
        follows = not self.fresh and ahead == 1
        dtx = follows and marker and -SKEW_NS < skew < SKEW_NS
        if self.received and (self.quiet or dtx):
            self.dtx_ns += length
        elif length >= GAP_NS:
            self.gap_ns += length
            self.silences += 1
            if not self.fresh and 1 < ahead < MOST_GAP:
                self.missing += ahead - 1
        elif length >= PAUSE_NS and follows and 2.0 * skew < float(arrival - self.last_arrival):
            self.gap_ns += length  # neither numbers nor lateness account for it

    @property
    def heard(self) -> float:
        """Percent of the due time that was in no gap."""
        return 100.0 - 100.0 * float(self.gap_ns) / float(self.due_ns) if self.due_ns else 100.0

    def redescribed(self, now: int) -> None:
        """The SDP has moved it: what comes from before is late, and its SSRC proves nothing any more."""
        self.described_at = now
        self.told, self.theirs, self.candidate = False, None, None
        self.begin_run()

    def begin_run(self) -> None:
        """The next packet is the first of other numbers."""
        if not self.fresh:
            self.expected_before += self.highest - self.first + 1
        self.fresh, self.awaited = True, -1

    @property
    def expected(self) -> int:
        return self.expected_before + (0 if self.fresh else self.highest - self.first + 1)

    def next_packet(self, media: MediaConfig) -> bytes:
        """The next packet, header and frame."""
        header = RTP_HEADER.pack(
            0x80, media.payload_type & 0x7F, self.sequence, self.timestamp, self.ssrc
        )  # fmt: skip
        frame = media.payload[self.at : self.at + media.frame]
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + int(media.clock_rate * media.ptime)) & 0xFFFFFFFF
        self.at = (self.at + media.frame) % len(media.payload)
        return header + frame

    def account(self, packet: bytes, arrival: int, media: MediaConfig, numbers: Numbers) -> None:
        """Takes in one RTP packet that arrived at `arrival` (ns)."""
        _, second, sequence, timestamp, _ = RTP_HEADER.unpack_from(packet)
        kind = second & 0x7F
        numbers.add("rtp_received")
        self.received += 1
        if kind not in _NOISE:
            if kind != media.payload_type & 0x7F or len(packet) < RTP_HEADER.size + media.frame // 4:
                self._discards(sequence, numbers)
                return
            self.audible = True
        long = arrival - self.last_arrival >= PAUSE_NS
        # Only a packet with a new number ends a pause.
        if long and self.due and not self._held(sequence) and not self._stale(sequence):
            self._paused(arrival, timestamp, sequence, second & 0x80 != 0, media)
        self._takes(kind, sequence, timestamp, arrival, media, numbers)

    def _discards(self, sequence: int, numbers: Numbers) -> None:
        """A packet that is no audio and no comfort noise: its number is not lost, and nothing was heard."""
        self.discarded += 1
        numbers.add("rtp_discarded")
        if self.fresh:
            return
        ahead, behind = (sequence - self.highest) & 0xFFFF, (self.highest - sequence) & 0xFFFF
        if 0 < ahead < MOST_GAP:
            self._advances(ahead)
        elif behind < WINDOW and not self.window >> behind & 1:
            self.window |= 1 << behind
            if self.highest - behind >= self.first:
                self.lost -= 1

    def _stale(self, sequence: int) -> bool:
        """Whether the number has come before, or is from too long ago to tell."""
        ahead, behind = (sequence - self.highest) & 0xFFFF, (self.highest - sequence) & 0xFFFF
        if self.fresh or 0 < ahead < MOST_GAP or behind >= LATE:
            return False
        return behind >= WINDOW or self.window >> behind & 1 != 0

    def _advances(self, ahead: int) -> None:
        self.highest += ahead
        if ahead > 1:
            self.lost += ahead - 1
            self.gaps += 1
        self.window = (self.window << ahead | 1) & (1 << WINDOW) - 1 if ahead < WINDOW else 1

    def _held(self, sequence: int) -> bool:
        """Whether the number is so implausible that the next one has to confirm it."""
        behind = (self.highest - sequence) & 0xFFFF
        ahead = (sequence - self.highest) & 0xFFFF
        return not self.fresh and ahead >= MOST_GAP and behind >= LATE and sequence != self.awaited

    def _takes(
        self, kind: int, sequence: int, timestamp: int, arrival: int, media: MediaConfig, numbers: Numbers
    ) -> None:
        ahead = (sequence - self.highest) & 0xFFFF
        if self._held(sequence):
            self.awaited = (sequence + 1) & 0xFFFF
            self.discarded += 1
            numbers.add("rtp_discarded")
            return
        if not self.fresh and sequence == self.awaited and ahead >= MOST_GAP and (0x10000 - ahead) >= LATE:
            # Another run of numbers: the one that was held was its first.
            self.begin_run()
            self.discarded -= 1
            numbers.add("rtp_discarded", -1)
            self._begins(sequence, timestamp, arrival, before=1)
            self._came(kind, timestamp, arrival)
            return
        if self.fresh:
            self._begins(sequence, timestamp, arrival, before=0)
            self._came(kind, timestamp, arrival)
            return
        if 0 < ahead < MOST_GAP:
            self._advances(ahead)
        elif not self._takes_late(sequence, numbers):
            return
        self.awaited = -1
        if arrival - self.last_arrival >= GAP_NS:
            step = ((timestamp - self.last_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            skew = float(arrival - self.last_arrival) - float(step) * 1e9 / media.clock_rate
            if not -SKEW_NS < skew < SKEW_NS:
                self._new_time_line(timestamp, arrival)  # the clock of the sender stood still meanwhile
        self._came(kind, timestamp, arrival)
        due = ((timestamp - self.first_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        transit = float(arrival - self.first_arrival) * media.clock_rate / 1e9 - float(due)
        difference = abs(transit - self.transit)
        if difference > BREAK_S * media.clock_rate:
            self._new_time_line(timestamp, arrival)
            return
        self.transit = transit
        self.jitter += (difference - self.jitter) / 16.0
        if transit * 1e9 / media.clock_rate > media.jitter_buffer * 1e9:
            self.discarded += 1
            numbers.add("rtp_discarded")

    def _begins(self, sequence: int, timestamp: int, arrival: int, *, before: int) -> None:
        self.fresh, self.awaited = False, -1
        self.highest = 0x10000 + sequence
        self.first = self.highest - before
        self.window = 1 + 2 * before
        self._new_time_line(timestamp, arrival)

    def _new_time_line(self, timestamp: int, arrival: int) -> None:
        self.first_arrival, self.first_timestamp, self.transit = arrival, timestamp, 0.0

    def _came(self, kind: int, timestamp: int, arrival: int) -> None:
        self.quiet = kind in _NOISE
        if arrival > self.last_arrival:
            self.last_arrival, self.last_timestamp = arrival, timestamp

    def _takes_late(self, sequence: int, numbers: Numbers) -> bool:
        """A packet that is not newer than the newest; False for a duplicate, or one from too long ago."""
        behind = (self.highest - sequence) & 0xFFFF
        if behind >= WINDOW:
            self.discarded += 1
            numbers.add("rtp_discarded")
            return False
        if self.window >> behind & 1:
            self.duplicated += 1
            numbers.add("rtp_duplicated")
            return False
        self.window |= 1 << behind
        self.reordered += 1
        numbers.add("rtp_reordered")
        if self.highest - behind >= self.first:
            self.lost -= 1
        return True

    def rating(self, media: MediaConfig) -> int:
        """MOS in thousandths, from R without loss and Ie,eff (G.107 eqs. 7-29 and B-4).

        Gaps whose packets are not among the lost are time with R = 0, of which R is the mean.
        """
        expected = float(max(1, self.expected))
        lost = float(max(0, self.lost))
        ppl = min(100.0, 100.0 * (lost + float(max(0, self.discarded))) / expected)
        burst = 1.0
        if self.gaps and lost > 0:
            burst = max(1.0, lost / float(self.gaps) * (1.0 - lost / expected))
        r = media.r_best - (media.ie + (95.0 - media.ie) * ppl / (ppl / burst + media.bpl))
        silent = self._silent(media)
        if self.due_ns and silent > 0.0 and r > 0.0:
            r *= max(0.0, 1.0 - silent / float(self.due_ns))
        if r <= 0.0:
            return 1000
        if r >= 100.0:
            return 4500
        mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
        return int(mos * 1000.0) if mos > 1.0 else 1000  # never rounded up to a limit

    def _silent(self, media: MediaConfig) -> float:
        """ns of gaps whose packets are not among the lost."""
        silent = float(self.gap_ns) - float(self.missing) * media.ptime * 1e9
        return silent if silent >= GAP_NS else 0.0

    def judged(self, media: MediaConfig, numbers: Numbers) -> int:
        """The end of a stream that has received audio: its figures are counted. MOS in thousandths."""
        mos = self.rating(media)
        expected = float(max(1, self.expected))
        lost = max(0, self.lost)
        numbers.record_mos(mos)
        numbers.record("jitter", self.jitter / media.clock_rate * 1e6)
        missing = float(int(self._silent(media) / (media.ptime * 1e9)))
        numbers.record("loss", 10000.0 * (float(lost) + missing) / (expected + missing))
        numbers.add("rtp_lost", lost)
        numbers.add("streams_ended")
        return mos

    def timed(self, numbers: Numbers) -> None:
        """The end of a stream of which audio was due: its time is counted."""
        if not self.due_ns:
            return
        numbers.record("unheard", 100.0 * (100.0 - self.heard))
        numbers.add("rtp_gaps", self.silences)
        numbers.add("rtp_due_ms", self.due_ns // 1_000_000)
        numbers.add("rtp_gap_ms", self.gap_ns // 1_000_000)
        numbers.add("rtp_dtx_ms", self.dtx_ns // 1_000_000)

    # -- where it comes from

    def admits(
        self, packet: bytes, source: Address, arrival: int, *, may_go: Callable[[Address], bool]
    ) -> bool:
        """Whether a packet is of this stream: the SDP in force wins, and another address has to prove itself.

        `may_go`: whether our RTP may go to that address; then it follows.
        """
        ssrc, number = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
        known = self.theirs is not None and ssrc == self.theirs
        named = source == self.to or (self.to is None and self.theirs is None)
        if known and (named or self.told or self.received):
            self._goes_on(ssrc, number, source, arrival, may_go, named=named)
            return True
        count = self._counted(ssrc, number, source, self.received)
        if named:
            # One packet of another stream is a straggler.
            proven = count >= GOES_ON or not self.received or self.theirs is None
        else:
            since = max(self.last_arrival, self.described_at)
            silent = arrival - since >= GAP_NS if since else True
            proven = count >= PROOF and silent
        if not proven:
            return False
        self.candidate = None
        if self.theirs is not None and self.received:
            self.begin_run()
        self.theirs = ssrc
        if not named:
            self._follows(source, may_go)
        return True

    def _goes_on(
        self,
        ssrc: int,
        number: int,
        source: Address,
        arrival: int,
        may_go: Callable[[Address], bool],
        *,
        named: bool,
    ) -> None:
        """The stream that is known; where it comes from tells where we send to."""
        if named:
            self.candidate = None
            if self.to is not None and self.out != self.to and self.out is not None:
                self.out = self.to  # the SDP in force wins
        elif source == self.out:
            self.candidate = None
        elif (
            0 < (number - self.highest) & 0xFFFF < MOST_GAP
            # It is taken in, so that the next one finds one more.
            and self._counted(ssrc, number, source, self.received + 1) >= GOES_ON
        ):
            self.candidate = None
            self._follows(source, may_go)

    def _follows(self, source: Address, may_go: Callable[[Address], bool]) -> None:
        if self.to is not None and may_go(source):
            self.out = source
            self.moved = True

    def replaced(self, packet: bytes, source: Address) -> bool:
        """Whether another SSRC from the same address is its stream now: two packets in order say so."""
        number, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
        if self.received and self._counted(ssrc, number, source, self.received) < GOES_ON:
            return False
        if self.received:
            self.begin_run()
        self.candidate = None
        return True

    def _counted(self, ssrc: int, number: int, source: Address, received: int) -> int:
        """Packets in order of a candidate, this one included; none of the stream may come between them."""
        found = self.candidate
        if (
            found is not None
            and found.source == source
            and found.ssrc == ssrc
            and found.received == self.received
            and 0 < (number - found.number) & 0xFFFF <= _IN_ORDER
        ):
            found.number, found.count, found.received = number, found.count + 1, received
            return found.count
        self.candidate = Candidate(source, ssrc, number, received)
        return 1


def is_rtp(packet: bytes) -> bool:
    """Version 2, and none of the packet types of RTCP (RFC 5761 section 4)."""
    return len(packet) >= RTP_HEADER.size and packet[0] >> 6 == 2 and not 192 <= packet[1] <= 223
