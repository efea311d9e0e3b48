"""One RTP session with one far end (RFC 3550), without sockets and clocks: the five verbs of the house."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from callwright.rtp.control import RtcpControl
from callwright.rtp.latch import PROOF, Latch
from callwright.rtp.latching import rtcp_beside
from callwright.rtp.outgoing import FrameSource, Prepared, SentFrame
from callwright.rtp.packet import RTCP_TYPES
from callwright.rtp.play_out import PlayedFrame
from callwright.rtp.report import (
    GapCause,
    MediaReport,
    ReceivedReport,
    SentReport,
    SourceChange,
    StraySource,
)
from callwright.rtp.streams import IncomingStream, OutgoingStream
from callwright.srtp.suite import StreamKeys

if TYPE_CHECKING:
    from callwright.srtp.context import SrtpContext

__all__ = [
    "ByeReceived",
    "DigitReceived",
    "Event",
    "FarEndReported",
    "FrameSource",
    "PlayedFrame",
    "Prepared",
    "RtpTransmission",
    "SentFrame",
    "Session",
    "SessionConfig",
    "SourceLatched",
    "StreamStarted",
]


_MOST_SOURCES = 32  # addresses that are told


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What offer and answer settled, and how to send."""

    remote: tuple[str, int]
    remote_rtcp: tuple[str, int]
    payload_type: int
    clock_rate: int
    samples_per_packet: int  # in RTP clock units
    ptime_ms: int
    receive_payload_types: dict[int, tuple[str, int]]  # pt -> (name, clock rate)
    cname: str
    wall_offset: float = 0.0  # unix seconds = now + wall_offset
    telephone_event: int | None = None  # payload type to send
    sending: bool = True
    receiving: bool = True  # the far end has promised audio: where none comes is a gap
    permits: Callable[[tuple[str, int]], bool] | None = None  # may RTP come from, and go to, this address?
    symmetric: bool = True  # send to where RTP comes from
    rtcp_mux: bool = False
    tap_received: bool = False  # keep played frames for `played()`
    tap_sent: bool = False  # keep sent frames for `sent_frames()`
    srtp: StreamKeys | None = None  # None: plain RTP
    max_catch_up: int = 3
    tone_ms: int = 100
    tone_pause_ms: int = 100


class RtpTransmission(NamedTuple):
    data: bytes
    address: tuple[str, int]
    is_rtcp: bool


@dataclass(frozen=True, slots=True)
class SourceLatched:
    source: tuple[str, int]
    now: float


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The first audio packet of an SSRC."""

    ssrc: int
    payload_type: int
    now: float


@dataclass(frozen=True, slots=True)
class DigitReceived:
    digit: str
    now: float


@dataclass(frozen=True, slots=True)
class FarEndReported:
    fraction_lost: float
    cumulative_lost: int
    jitter_ms: float
    rtt_ms: float | None
    now: float


@dataclass(frozen=True, slots=True)
class ByeReceived:
    now: float


Event = SourceLatched | StreamStarted | DigitReceived | FarEndReported | ByeReceived


class Session:
    """One far end, both directions. Five verbs, and the report.

    `receive`, `receive_batch` and `receive_rtcp` take whatever a socket gave and never raise for it. `wake`
    at `next_wake` sends what is due. `transmissions` and `events` are drained after a batch of either.

    Whoever can send more punctually than it can wake a session asks it to `prepare` packets, tells it by
    `settle` when they have left, and does both of `settle` and `withdraw` before an act, or when the session
    is `outdated`. All that is measured comes out as if the session had sent them itself.
    """

    def __init__(
        self, config: SessionConfig, entropy: Callable[[int], bytes], source: FrameSource | None = None
    ) -> None:
        """`entropy(n)` gives n random octets. ValueError for a ptime or clock rate that cannot be sent."""
        self._config = config
        self._srtp = self._former_srtp = _secured(config.srtp)
        if self._srtp is not None:
            entropy = _early_number(entropy)
        self._outgoing = OutgoingStream(entropy, max_catch_up=config.max_catch_up, tap=config.tap_sent)
        self._incoming = IncomingStream(tap=config.tap_received)
        self._control = RtcpControl(self._outgoing, self._incoming, config.cname, config.wall_offset, entropy)
        self._outgoing.set_source(source, None)
        self._apply(config)
        self._destination = config.remote
        self._rtcp_destination = config.remote_rtcp
        self._latch = Latch(config.remote)
        self._rtcp_latched: tuple[str, int] | None = None
        self._receiving = config.receiving
        self._started: float | None = None
        self._closed_at: float | None = None
        self._outdated = False
        self._strays = 0
        self._stray_sources: dict[tuple[str, int], StraySource] = {}
        self._sources: list[SourceChange] = []
        self._rtcp_strays = 0
        self._transmissions: list[RtpTransmission] = []
        self._events: list[Event] = []
        self._sending = config.sending
        self._outgoing.sending = config.sending and self._permitted(self._destination)

    def _apply(self, config: SessionConfig) -> None:
        self._outgoing.set_format(
            config.payload_type,
            config.clock_rate,
            config.samples_per_packet,
            config.ptime_ms,
            config.telephone_event,
        )
        self._incoming.set_formats(config.receive_payload_types)

    @property
    def ssrc(self) -> int:
        return self._outgoing.ssrc

    @property
    def closed(self) -> bool:
        return self._closed_at is not None

    @property
    def started(self) -> float | None:
        return self._started

    @property
    def latched(self) -> tuple[str, int] | None:
        """The address that RTP comes from, once it does."""
        return self._latch.source

    @property
    def dialing(self) -> bool:
        """Digits are still to be sent."""
        return self._outgoing.dialing

    @property
    def refused(self) -> bool:
        """Policy forbids the address that RTP would go to: nothing is sent there."""
        return not self._permitted(self._destination)

    def start(self, now: float) -> None:
        """Begin: the schedule of packets and the series of the report count from here. A second call does
        nothing.

        Packets that come before are received all the same.
        """
        if self._started is None:
            self._started = now
            self._outgoing.start(now)
            self._incoming.series.begin(now)
            self._control.start(now)
            if self._receiving:
                self._incoming.expect(now)

    # -- the five verbs

    def receive(self, data: bytes, source: tuple[str, int], now: float) -> None:
        """A datagram of the RTP port, which arrived at `now`."""
        for packet in self._opened([(data, source, now)]):
            self._receive(*packet)

    def _receive(self, data: bytes, source: tuple[str, int], now: float) -> None:
        if source != self._latch.source and not self._admit(data, source, now):
            return
        if len(data) > 1 and data[1] in RTCP_TYPES:
            if self._config.rtcp_mux:
                self._receive_rtcp(data, source, now)
            else:
                self._incoming.malformed += 1
            return
        if self._closed_at is None:
            self._incoming.receive(data, now)
            if self._incoming.started or self._incoming.new_digits:
                self._tell()

    def receive_batch(self, batch: Iterable[tuple[bytes, tuple[str, int], float]]) -> None:
        """Datagrams of the RTP port as (data, source, arrival), in order of arrival."""
        packets = self._opened(batch if isinstance(batch, list) else list(batch))
        index, end = 0, len(packets)
        while index < end:
            latched = self._latch.source
            if latched is not None and self._closed_at is None:
                index = self._incoming.receive_run(packets, index, latched)
                if self._incoming.started or self._incoming.new_digits:
                    self._tell()
                    continue
                if index == end:
                    return
            self._receive(*packets[index])
            index += 1

    def _opened(
        self, packets: list[tuple[bytes, tuple[str, int], float]]
    ) -> list[tuple[bytes, tuple[str, int], float]]:
        """What is in them; under SRTP those that cannot be opened are counted and gone."""
        srtp = self._srtp
        if srtp is None:
            return packets
        if not self._config.rtcp_mux:
            return srtp.unprotect_all(packets)
        out = []
        for data, source, arrival in packets:
            is_rtcp = len(data) > 1 and data[1] in RTCP_TYPES
            opened = srtp.unprotect_rtcp(data) if is_rtcp else srtp.unprotect(data)
            if opened is not None:
                out.append((opened, source, arrival))
        return out

    def receive_rtcp(self, data: bytes, source: tuple[str, int], now: float) -> None:
        """A datagram of the RTCP port."""
        if self._srtp is None:
            self._receive_rtcp(data, source, now)
            return
        opened = self._srtp.unprotect_rtcp(data)
        if opened is not None:
            self._receive_rtcp(opened, source, now)

    def _receive_rtcp(self, data: bytes, source: tuple[str, int], now: float) -> None:
        if source != self._rtcp_latched:
            hosts = {self._config.remote_rtcp[0], self._config.remote[0], self._destination[0]}
            if self._rtcp_latched is not None or source[0] not in hosts or not self._permitted(source):
                self._rtcp_strays += 1
                return
        bye_before = self._control.bye
        reports = self._control.receive(data, now, self._config.clock_rate)
        if reports is None:
            return
        if self._rtcp_latched is None:
            self._rtcp_latched = source
            if self._config.symmetric:
                self._rtcp_destination = source
        for report in reports:
            self._events.append(
                FarEndReported(
                    report.fraction_lost, report.cumulative_lost, report.jitter_ms, report.rtt_ms, now
                )
            )
        if bye_before is None and self._control.bye is not None:
            self._events.append(ByeReceived(now))

    def wake(self, now: float) -> None:
        """Send what is due at `now`: read the clock just before the call, since lateness is recorded here."""
        if self._started is None or self._closed_at is not None:
            return
        for made in self._outgoing.wake(now):
            packet = made if self._srtp is None else self._srtp.protect(made)
            self._transmissions.append(RtpTransmission(packet, self._destination, False))
        report = self._control.wake(now)
        if report is not None:
            self._send_rtcp(report)
        if self._config.tap_received:
            self._incoming.play_out.play(now)

    def next_wake(self) -> float | None:
        """When `wake` has something to do; None before `start` and after `close`."""
        if self._started is None or self._closed_at is not None:
            return None
        due = self._control.next_due
        sending = self._outgoing.next_due()
        if sending is not None:
            return sending if due is None or sending < due else due
        playing = self._incoming.play_out.next_due() if self._config.tap_received else None
        if playing is not None and (due is None or playing < due):
            return playing
        return due

    # -- ahead of time

    def prepare(self, now: float, until: float, most: int = 16) -> list[Prepared]:
        """RTP that is due after `now` and before `until`; at most `most` packets are on their way at once."""
        if self._started is None or self._closed_at is not None:
            return []
        made = self._outgoing.prepare(now, until, most, self._destination)
        if self._srtp is None:
            return made
        protect = self._srtp.protect
        return [Prepared(due, protect(packet), address) for due, packet, address in made]

    def settle(self, left: Sequence[float]) -> None:
        """The first `len(left)` of what was prepared have left, at these times (monotonic seconds)."""
        self._outgoing.settle(left)

    def withdraw(self, now: float) -> None:
        """The rest of what was prepared does not leave; it will be made anew."""
        self._outgoing.withdraw(now)
        self._outdated = False

    @property
    def live(self) -> bool:
        """The source is one that `prepare` must not ask: `wake` has to be punctual."""
        return self._outgoing.live

    @property
    def outdated(self) -> bool:
        """What was prepared is no longer what should be sent: the far end's address has changed."""
        return self._outdated

    def transmissions(self) -> list[RtpTransmission]:
        """What to send, each once."""
        out, self._transmissions = self._transmissions, []
        return out

    def events(self) -> list[Event]:
        """What happened, each once."""
        out, self._events = self._events, []
        return out

    # -- acts

    def send_digits(self, digits: str, now: float) -> None:
        """Queue `0-9 * # A-D ! ,` as telephone-events; they take the place of audio while they last.

        ValueError for other characters, or when no telephone-event was negotiated.
        """
        self._outgoing.dial(digits, now, self._config.tone_ms, self._config.tone_pause_ms)

    def set_source(self, source: FrameSource | None, now: float) -> None:
        """Another source of audio, or none."""
        self._outgoing.set_source(source, now)

    def set_direction(self, now: float, *, sending: bool, receiving: bool) -> None:
        """Hold and resume. On hold nothing goes out but RTCP; what still comes in is counted.

        `receiving`: audio is due from now on, so that where none comes is a gap; it is not due on hold, and
        not before the answer.
        """
        self._sending = sending
        self._outgoing.set_sending(sending and not self.refused, now)
        if receiving and not self._receiving:
            self._incoming.resume()
        self._receiving = receiving
        if not receiving:
            self._incoming.excuse(now)
        elif self._started is not None:
            self._incoming.expect(now)

    def relatch(self, config: SessionConfig, now: float) -> None:
        """A new offer and answer: all of `config` but taps and CNAME counts from now.

        When the far end's address changed, it is in force from now on, and what still comes from elsewhere
        has to prove itself; else the latch stays.
        """
        moved = config.remote != self._config.remote
        rtcp_moved = moved or config.remote_rtcp != self._config.remote_rtcp
        same_format = (
            config.payload_type,
            config.clock_rate,
            config.samples_per_packet,
            config.ptime_ms,
            config.telephone_event,
        ) == (
            self._config.payload_type,
            self._config.clock_rate,
            self._config.samples_per_packet,
            self._config.ptime_ms,
            self._config.telephone_event,
        )
        self._config = config
        self._secure(config.srtp)
        if not same_format:
            self._apply(config)
        else:
            self._incoming.set_formats(config.receive_payload_types)
        if moved:
            self._latch = self._latch.moved(config.remote, now)
            self._destination = config.remote
        if rtcp_moved:
            self._rtcp_latched = None
            self._rtcp_destination = config.remote_rtcp
        self.set_direction(now, sending=config.sending, receiving=config.receiving)

    def close(self, now: float) -> None:
        """A last report with BYE, and silence. RTCP that comes later is still taken in; RTP is not."""
        if self._closed_at is not None:
            return
        self.withdraw(now)
        if self._started is not None:
            self._send_rtcp(self._control.compound(now, bye=True))
        self._incoming.play_out.finish()
        self._closed_at = now

    # -- taps

    def played(self) -> list[PlayedFrame]:
        """Received frames in play-out order since the last call, gaps marked (needs `tap_received`)."""
        return self._incoming.play_out.drain()

    def sent_frames(self) -> list[SentFrame]:
        """Frames sent since the last call (needs `tap_sent`)."""
        frames, self._outgoing.frames = self._outgoing.frames, []
        return frames

    def report(self, now: float) -> MediaReport:
        """Everything measured until `now` (until `close`, once closed)."""
        if self._closed_at is not None:
            now = self._closed_at
        outgoing, control = self._outgoing, self._control
        lost, loss_pct, jitter, max_jitter = control.sent_quality()
        sent = SentReport(
            ssrc=outgoing.ssrc,
            payload_type=outgoing.payload_type,
            destination=self._destination,
            packets=outgoing.packets,
            octets=outgoing.octets,
            telephone_event_packets=outgoing.event_packets,
            skipped_frames=outgoing.skipped,
            first_packet=outgoing.first_packet,
            last_packet=outgoing.last_packet,
            lost=lost,
            loss_pct=loss_pct,
            jitter_ms=jitter,
            max_jitter_ms=max_jitter,
            far_end_reports=tuple(control.reports),
            unheard_since=control.unheard_since,
            series=outgoing.series.sent(control.reported),
        )
        return MediaReport(
            started=self._started,
            at=now,
            closed=self.closed,
            sent=sent,
            received=self._received(now),
            digits=self._incoming.digits.digits(),
            rtt_ms=1000.0 * control.rtt_sum / control.rtt_count if control.rtt_count else None,
            max_rtt_ms=1000.0 * control.max_rtt if control.rtt_count else None,
            scheduling_error=outgoing.schedule_error.report(),
            strays=self._strays,
            sources=tuple(self._sources),
            stray_sources=tuple(self._stray_sources.values()),
            malformed=self._incoming.malformed,
            rtcp_received=control.received,
            rtcp_sent=control.sent,
            rtcp_strays=self._rtcp_strays,
            rtcp_malformed=control.malformed,
            far_end_cname=control.far_end_cname,
            far_end_bye=control.bye,
            srtp=self._former_srtp.report() if self._former_srtp is not None else None,
        )

    # -- inside

    def _secure(self, keys: StreamKeys | None) -> None:
        """New keys, SRTP from now on, or no longer."""
        if keys is not None and self._srtp is not None:
            self._srtp.rekey(keys)
            return
        self._srtp = _secured(keys)
        self._former_srtp = self._srtp or self._former_srtp

    def _permitted(self, source: tuple[str, int]) -> bool:
        return self._config.permits is None or self._config.permits(source)

    def _admit(self, data: bytes, source: tuple[str, int], now: float) -> bool:
        """Whether a packet that is not of the latched source makes its source that; else it is a stray."""
        latch, incoming = self._latch, self._incoming
        if not self._permitted(source):
            self._stray(source, now, permitted=False)
            return False
        if len(data) > 1 and data[1] in RTCP_TYPES:
            if latch.source is not None:
                self._strays += 1
            return latch.source is None
        if not incoming.knows(data):
            if latch.source is None:
                incoming.malformed += 1
            else:
                self._strays += 1
            return False
        before = latch.source
        heard = incoming.silence.last if incoming.silence.first is not None else None
        proof = latch.consider(
            data, source, now, ssrc=incoming.ssrc, highest=incoming.sequence.highest, heard=heard
        )
        if proof is None:
            self._stray(source, now, permitted=True)
            return False
        self._follow(source, before, now)
        self._strays -= len(proof) - 1
        if self._closed_at is None:
            for earlier, arrival in proof[:-1]:
                incoming.receive(earlier, arrival)
        return True

    def _follow(self, source: tuple[str, int], before: tuple[str, int] | None, now: float) -> None:
        """Audio comes from `source` from now on, and goes there."""
        stray = self._stray_sources.get(source)
        if stray is not None and stray.packets < PROOF:
            del self._stray_sources[source]  # these were the proof
        if self._config.symmetric:
            self._outdated = source != self._destination and self._outgoing.prepared
            self._destination = source
            rtcp = self._rtcp_latched
            if rtcp is not None and before is not None and rtcp[0] == before[0] != source[0]:
                self._rtcp_latched = None  # it moves with RTP
            if self._rtcp_latched is None:
                self._rtcp_destination = rtcp_beside(source, self._config.remote, self._config.remote_rtcp)
            if self._sending:
                self._outgoing.set_sending(True, now)  # policy may have refused where it was to go before
        if len(self._sources) < _MOST_SOURCES:
            self._sources.append(SourceChange(now, source, before, self._config.remote))
        self._events.append(SourceLatched(source, now))

    def _stray(self, source: tuple[str, int], now: float, *, permitted: bool) -> None:
        self._strays += 1
        known = self._stray_sources.get(source)
        if known is not None:
            self._stray_sources[source] = replace(known, packets=known.packets + 1, last=now)
        elif len(self._stray_sources) < _MOST_SOURCES:
            self._stray_sources[source] = StraySource(source, 1, now, now, permitted)

    def _received(self, now: float) -> ReceivedReport:
        report = self._incoming.report(self._latch.source, now)
        gaps = report.timeline.gaps
        if not gaps or not gaps[-1].to_end or gaps[-1].cause is GapCause.NOISE:
            return report
        since = gaps[-1].start
        if any(stray.last > since and stray.packets >= PROOF for stray in self._stray_sources.values()):
            # Something did come, from where it was not to come from.
            elsewhere = (*gaps[:-1], replace(gaps[-1], cause=GapCause.ELSEWHERE))
            return replace(report, timeline=replace(report.timeline, gaps=elsewhere))
        return report

    def _tell(self) -> None:
        incoming = self._incoming
        self._events.extend(StreamStarted(*stream) for stream in incoming.started)
        self._events.extend(DigitReceived(*digit) for digit in incoming.new_digits)
        incoming.started.clear()
        incoming.new_digits.clear()

    def _send_rtcp(self, data: bytes) -> None:
        destination = self._destination if self._config.rtcp_mux else self._rtcp_destination
        if not self._permitted(destination):
            return
        sent = data if self._srtp is None else self._srtp.protect_rtcp(data)
        self._transmissions.append(RtpTransmission(sent, destination, True))


def _secured(keys: StreamKeys | None) -> SrtpContext | None:
    if keys is None:
        return None
    from callwright.srtp.context import SrtpContext  # brings OpenSSL, which plain calls do without

    return SrtpContext(keys)


def _early_number(entropy: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """First sequence numbers below 2**15, so that no loss at the start hides a rollover from the peer
    (RFC 3711 section 3.3.1)."""

    def draw(octets: int) -> bytes:
        drawn = entropy(octets)
        return bytes((drawn[0] & 0x7F, *drawn[1:])) if octets == 2 else drawn

    return draw
