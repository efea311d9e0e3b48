"""RTCP of one session (RFC 3550 section 6): when to report, what to say, and what the far end says of us."""

from __future__ import annotations

from collections.abc import Callable

from callwright.rtp.incoming import IncomingStream
from callwright.rtp.outgoing import OutgoingStream
from callwright.rtp.report import FarEndReport
from callwright.rtp.rtcp import (
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpError,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    middle_32,
    ntp_timestamp,
    parse_compound,
    serialize_compound,
)

# RFC 3550 6.2: five seconds at least; the delay before the first report may be anything between two parties.
INTERVAL = 5.0
FIRST = 1.0
_COMPENSATION = 2.718281828459045 - 1.5  # RFC 3550 6.3.1
_REMEMBERED = 32
_MAX_REPORTS = 5000
_MAX_ROUND_TRIP = 60.0
_STILL = 25  # packets that we sent between two reports whose highest number is the same: none of them came
_AHEAD = 200  # packets that may have left and are not settled yet


class RtcpControl:
    """Report interval, sender and receiver reports, and the round trip.

    The round trip is taken from LSR and DLSR, and only where LSR names a report that we did send.
    """

    __slots__ = (
        "_cname",
        "_entropy",
        "_expected_before",
        "_incoming",
        "_last_sender_report",
        "_lost_before",
        "_outgoing",
        "_packets_before",
        "_progress",
        "_sent_at",
        "_wall_offset",
        "bye",
        "far_end_cname",
        "malformed",
        "max_rtt",
        "next_due",
        "received",
        "reflected",
        "reported",
        "reports",
        "rtt_count",
        "rtt_sum",
        "sent",
        "started",
        "unheard",
        "unheard_since",
    )

    def __init__(
        self,
        outgoing: OutgoingStream,
        incoming: IncomingStream,
        cname: str,
        wall_offset: float,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._cname = cname
        self._wall_offset = wall_offset
        self._entropy = entropy
        self._sent_at: dict[int, float] = {}  # middle 32 bits of NTP time -> when
        self._last_sender_report: tuple[int, int, float] | None = None  # (ssrc, middle 32 bits, arrival)
        self._expected_before = 0
        self._lost_before = 0
        self._packets_before = (0, 0)  # ours, at the last two reports
        self.started = 0.0
        self.next_due: float | None = None
        self.sent = 0
        self.received = 0
        self.malformed = 0
        self.reflected = 0  # our own reports, come back from an echo
        self.reports: list[FarEndReport] = []
        self._progress: tuple[int, int, float] | None = (
            None  # (highest number, packets sent, when) it moved last
        )
        self.unheard = 0  # packets that we sent since
        self.unheard_since: float | None = None
        self.reported: dict[
            int, tuple[int, float]
        ] = {}  # second -> (lost since the report before, jitter in ms)
        self.rtt_sum = 0.0
        self.rtt_count = 0
        self.max_rtt = 0.0
        self.far_end_cname: str | None = None
        self.bye: float | None = None

    def start(self, now: float) -> None:
        self.started = now
        self.next_due = now + FIRST

    def wake(self, now: float) -> bytes | None:
        """The report that is due."""
        if self.next_due is None or now < self.next_due:
            return None
        spread = 0.5 + int.from_bytes(self._entropy(2), "big") / 65536.0
        self.next_due = now + INTERVAL * spread / _COMPENSATION
        return self.compound(now)

    def compound(self, now: float, *, bye: bool = False) -> bytes:
        """SR (RR when nothing was sent since the report before last) with SDES, and BYE at the end."""
        outgoing = self._outgoing
        blocks = self._blocks(now)
        first: RtcpPacket
        if outgoing.packets > self._packets_before[0]:
            ntp = ntp_timestamp(now + self._wall_offset)
            self._sent_at[middle_32(ntp)] = now
            if len(self._sent_at) > _REMEMBERED:
                del self._sent_at[next(iter(self._sent_at))]
            first = SenderReport(
                outgoing.ssrc, ntp, outgoing.timestamp_at(now), outgoing.packets, outgoing.octets, blocks
            )
        else:
            first = ReceiverReport(outgoing.ssrc, blocks)
        self._packets_before = (self._packets_before[1], outgoing.packets)
        packets: list[RtcpPacket] = [first, SourceDescription(((outgoing.ssrc, self._cname),))]
        if bye:
            packets.append(Bye((outgoing.ssrc,)))
        self.sent += 1
        return serialize_compound(packets)

    def _blocks(self, now: float) -> tuple[ReportBlock, ...]:
        """Our report about the far end's stream (RFC 3550 6.4.1, A.3)."""
        incoming = self._incoming
        if incoming.ssrc is None:
            return ()
        sequence, timing = incoming.sequence, incoming.timing
        expected = sequence.expected
        lost = sequence.lost - sequence.duplicated  # a duplicate counts as received here (A.3)
        newly_expected = expected - self._expected_before
        newly_lost = lost - self._lost_before
        self._expected_before, self._lost_before = expected, lost
        fraction = 0
        if newly_expected > 0 and newly_lost > 0:
            fraction = min(255, (newly_lost << 8) // newly_expected)
        last_report, delay = 0, 0
        if self._last_sender_report is not None and self._last_sender_report[0] == incoming.ssrc:
            last_report = self._last_sender_report[1]
            delay = max(0, int((now - self._last_sender_report[2]) * 65536.0))
        jitter = int(timing.jitter * timing.rate)
        return (
            ReportBlock(
                incoming.ssrc, fraction, lost, sequence.highest & 0xFFFFFFFF, jitter, last_report, delay
            ),
        )

    def receive(self, data: bytes, now: float, clock_rate: int) -> list[FarEndReport] | None:
        """Take in a compound packet: the reports about us in it; None when it is malformed.

        `clock_rate` is that of what we send, in whose units the far end counts jitter.
        """
        try:
            packets = parse_compound(data)
        except RtcpError:
            self.malformed += 1
            return None
        self.received += 1
        first = packets[0]
        if isinstance(first, SenderReport | ReceiverReport) and first.ssrc == self._outgoing.ssrc:
            # An echo that reflects RTCP too: these are our own words, not the far end's.
            self.reflected += 1
            return []
        reports: list[FarEndReport] = []
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._last_sender_report = (packet.ssrc, middle_32(packet.ntp), now)
            if isinstance(packet, SenderReport | ReceiverReport):
                reports.extend(
                    self._reported(block, now, clock_rate)
                    for block in packet.blocks
                    if block.ssrc == self._outgoing.ssrc
                )
            elif isinstance(packet, SourceDescription):
                if packet.cnames:
                    self.far_end_cname = packet.cnames[0][1]
            elif isinstance(packet, Bye):
                self.bye = now if self.bye is None else self.bye
        return reports

    def _reported(self, block: ReportBlock, now: float, clock_rate: int) -> FarEndReport:
        rtt = None
        sent_at = self._sent_at.get(block.last_report) if block.last_report else None
        if sent_at is not None:
            round_trip = now - sent_at - block.delay / 65536.0
            if -0.001 < round_trip < _MAX_ROUND_TRIP:
                rtt = max(0.0, round_trip)
                self.rtt_sum += rtt
                self.rtt_count += 1
                self.max_rtt = max(self.max_rtt, rtt)
        report = FarEndReport(
            now,
            block.fraction_lost / 256.0,
            block.cumulative_lost,
            block.highest_sequence,
            1000.0 * block.jitter / clock_rate,
            None if rtt is None else 1000.0 * rtt,
        )
        self._follow(block.highest_sequence, now)
        before = self.reports[-1].cumulative_lost if self.reports else 0
        if len(self.reports) < _MAX_REPORTS:
            self.reports.append(report)
            self.reported[int(now - self.started)] = (
                max(0, block.cumulative_lost - before),
                report.jitter_ms,
            )
        else:
            self.reports[-1] = report
        return report

    def _follow(self, highest: int, now: float) -> None:
        """Whether the highest number that the far end has seen moves with what we send (RFC 3550 6.4.1).

        One that is none of ours, as 0 is for many who have got nothing, is no number that was seen.
        """
        sent = self._outgoing.packets
        before, sent_before, since = self._progress or (self._outgoing.first_sequence - 1, 0, self.started)
        moved = (highest - before) & 0xFFFF
        if 0 < moved <= sent - sent_before + _AHEAD:
            self._progress = (highest, sent, now)
            self.unheard, self.unheard_since = 0, None
        elif sent - sent_before >= _STILL:
            self.unheard, self.unheard_since = sent - sent_before, since

    def sent_quality(self) -> tuple[int | None, float | None, float | None, float | None]:
        """(lost, loss_pct, mean jitter_ms, largest jitter_ms) of our stream as the far end saw it last, or
        Nones.

        What we sent while its highest number stood still, has not arrived, whatever it says of losses.
        """
        if not self.reports or not self._outgoing.packets:
            return None, None, None, None
        last = self.reports[-1]
        sent = self._outgoing.packets
        lost = max(0, min(last.cumulative_lost + self.unheard, sent))
        if self._progress is None:
            lost = sent = min(self.unheard, sent)
            if not sent:
                return None, None, None, None
        # How many it had reason to expect by then; a far end that counts its own way cannot make it more than
        # sent.
        covered = ((last.highest_sequence - self._outgoing.first_sequence) & 0xFFFFFFFF) + 1 + self.unheard
        expected = min(max(covered, lost, 1), sent)
        if self._progress is None:
            return lost, 100.0, None, None
        jitters = [report.jitter_ms for report in self.reports]
        return lost, 100.0 * lost / expected, sum(jitters) / len(jitters), max(jitters)
