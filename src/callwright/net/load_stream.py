"""One RTP stream of a load: what it sends next, and the account of what it receives.

RFC 3550 appendix A.3 for loss, A.8 for jitter; the MOS is the E-model's (G.107) with the burst ratio of the
gaps. The same arithmetic in the same order as `_load_media.pxi`, so that both give the same figures.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from callwright.net.load_numbers import Numbers
from callwright.net.loading import MediaConfig
from callwright.sip.transport import Address

RTP_HEADER = struct.Struct("!BBHII")
WINDOW = 64
"""Packets behind the newest one that are still told from duplicates."""
MOST_GAP = 3000
"""MAX_DROPOUT of RFC 3550 appendix A.1."""


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
    theirs: int | None = None
    """Their SSRC, once it is known."""
    told: bool = False
    """SDP said their SSRC."""
    phase: int = -1
    began: float = 0.0
    # what came
    received: int = 0
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
        _, _, sequence, timestamp, _ = RTP_HEADER.unpack_from(packet)
        numbers.add("rtp_received")
        self.received += 1
        if self.received == 1:
            self.first = self.highest = 0x10000 + sequence
            self.window = 1
            self.first_arrival, self.first_timestamp = arrival, timestamp
            return
        ahead = (sequence - self.highest) & 0xFFFF
        if 0 < ahead < MOST_GAP:
            self.highest += ahead
            if ahead > 1:
                self.lost += ahead - 1
                self.gaps += 1
            self.window = (self.window << ahead | 1) & (1 << WINDOW) - 1 if ahead < WINDOW else 1
        elif not self._takes_late(sequence, numbers):
            return
        due = ((timestamp - self.first_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        transit = float(arrival - self.first_arrival) * media.clock_rate / 1e9 - float(due)
        difference = abs(transit - self.transit)
        self.transit = transit
        self.jitter += (difference - self.jitter) / 16.0
        if transit * 1e9 / media.clock_rate > media.jitter_buffer * 1e9:
            self.discarded += 1
            numbers.add("rtp_discarded")

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
        """MOS in thousandths, from R without loss and Ie,eff (G.107 eqs. 7-29 and B-4)."""
        expected = float(self.highest - self.first) + 1.0
        lost = float(max(0, self.lost))
        ppl = min(100.0, 100.0 * (lost + float(self.discarded)) / expected)
        burst = 1.0
        if self.gaps and lost > 0:
            burst = max(1.0, lost / float(self.gaps) * (1.0 - lost / expected))
        r = media.r_best - (media.ie + (95.0 - media.ie) * ppl / (ppl / burst + media.bpl))
        if r <= 0.0:
            return 1000
        if r >= 100.0:
            return 4500
        mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
        return int(mos * 1000.0 + 0.5) if mos > 1.0 else 1000

    def judged(self, media: MediaConfig, numbers: Numbers) -> int:
        """The end of a stream that has received something: its figures are counted. MOS in thousandths."""
        mos = self.rating(media)
        expected = float(self.highest - self.first) + 1.0
        lost = max(0, self.lost)
        numbers.record("mos", mos)
        numbers.record("jitter", self.jitter / media.clock_rate * 1e6)
        numbers.record("loss", 10000.0 * float(lost) / expected)
        numbers.add("rtp_lost", lost)
        numbers.add("streams_ended")
        return mos


def is_rtp(packet: bytes) -> bool:
    """Version 2, and none of the packet types of RTCP (RFC 5761 section 4)."""
    return len(packet) >= RTP_HEADER.size and packet[0] >> 6 == 2 and not 192 <= packet[1] <= 223
