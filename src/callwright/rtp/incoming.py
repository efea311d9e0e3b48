"""The stream from the far end: checked, counted, judged, put in order. Nothing that arrives raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from callwright.rtp.jitter_buffer import Judges, standard_buffers
from callwright.rtp.loss_pattern import RECEIVED, Ledger
from callwright.rtp.packet import (
    HEADER,
    HEADER_LENGTH,
    MARKER,
    RTCP_CONFUSION,
    RTCP_TYPES,
    RtpError,
    payload_bounds,
)
from callwright.rtp.play_out import PlayOut
from callwright.rtp.received import AUDIO, NOISE, Kind, kinds_of, knows, received_report
from callwright.rtp.reception import DUPLICATE, HELD, ArrivalTiming, SequenceCount, SilenceWatch
from callwright.rtp.report import ReceivedReport
from callwright.rtp.series import SecondSeries
from callwright.rtp.telephone_event import EventReceiver
from callwright.rtp.timeline import PAUSE, Timeline, cause_of, is_hole

_FORMER = 8
_TALKSPURT = 0.2  # seconds of media time without a packet, with which a marker begins a talkspurt
PRIMARY_MARK = 2
_EVENT_DELAY = 0.05


class IncomingStream:
    """One far end. `receive` takes octets whose source was already found right."""

    __slots__ = (
        "_candidate",
        "_former",
        "_held",
        "audio_packets",
        "comfort_noise",
        "digits",
        "event_packets",
        "judges",
        "kinds",
        "ledger",
        "malformed",
        "new_digits",
        "octets",
        "payload_type",
        "play_out",
        "quiet",
        "sequence",
        "series",
        "silence",
        "ssrc",
        "ssrc_changes",
        "started",
        "tap",
        "timeline",
        "timing",
        "unknown_payload",
    )

    def __init__(self, *, tap: bool) -> None:
        buffers = standard_buffers()
        self.judges = Judges(buffers)
        self.ledger = Ledger(len(buffers))
        self.kinds: dict[int, Kind] = {}
        self._former: dict[int, None] = {}
        self._candidate = (-1, -1)
        self._held: tuple[bytes, float] | None = None
        self.sequence = SequenceCount(self.ledger)
        self.timing = ArrivalTiming()
        self.silence = SilenceWatch()
        self.timeline = Timeline()
        self.quiet = False  # comfort noise was the last that came
        self.series = SecondSeries()
        self.play_out = PlayOut()
        self.digits = EventReceiver(8000)
        self.tap = tap
        self.ssrc: int | None = None
        self.payload_type: int | None = None
        self.audio_packets = 0
        self.octets = 0
        self.malformed = 0
        self.unknown_payload = 0
        self.comfort_noise = 0
        self.event_packets = 0
        self.ssrc_changes = 0
        self.new_digits: list[tuple[str, float]] = []  # fetched and cleared by the session
        self.started: list[tuple[int, int, float]] = []  # (ssrc, payload type, now), likewise

    def set_formats(self, payload_types: Mapping[int, tuple[str, int]]) -> None:
        """Payload types that may come, as number -> (name, clock rate)."""
        self.kinds = kinds_of(payload_types, self.digits)

    def knows(self, data: bytes) -> bool:
        """Whether `data` is RTP of a payload type that may come: fit to latch its source."""
        return knows(data, self.kinds)

    def receive_run(
        self, batch: Sequence[tuple[bytes, tuple[str, int], float]], index: int, source: tuple[str, int]
    ) -> int:
        """Packets of `batch` from `index` on, as long as they are of `source` and not RTCP.

        Returns the index of the first that was not taken; it also stops behind one of which there is
        something to tell.
        """
        while index < len(batch):
            data, from_where, arrival = batch[index]
            if from_where != source or (len(data) > 1 and data[1] in RTCP_TYPES):
                break
            self.receive(data, arrival)
            index += 1
            if self.started or self.new_digits:
                break
        return index

    def receive(self, data: bytes, arrival: float) -> None:
        """Count one packet. Work and memory are bounded for whatever the octets say."""
        length = len(data)
        if length < HEADER_LENGTH:
            self.malformed += 1
            return
        first, second, number16, timestamp, ssrc = HEADER.unpack_from(data)
        start, end = HEADER_LENGTH, length
        if first != 0x80:
            try:
                start, end = payload_bounds(data)
            except RtpError:
                self.malformed += 1
                return
        payload_type = second & 0x7F
        if payload_type in RTCP_CONFUSION:
            self.malformed += 1
            return
        kind = self.kinds.get(payload_type)
        if ssrc != self.ssrc:
            if kind is None:
                self.unknown_payload += 1
                return
            if not self._follow(ssrc, number16, payload_type, arrival):
                return
        if kind is not None and end - start < kind[3]:
            kind = None
        sequence = self.sequence
        # What cannot be played is not heard either.
        elapsed = self.silence.receive(arrival) if kind is not None else 0.0
        fresh = elapsed >= PAUSE and sequence.fresh
        number = sequence.receive(number16, elapsed)
        if number <= DUPLICATE:
            # Only a packet with a new number ends a pause: a sender that repeats itself says nothing.
            self.silence.forget(elapsed)
            if number != DUPLICATE:
                self._implausible(number, data, arrival)
                return
        elif elapsed >= PAUSE and kind is not None:
            self._paused(elapsed, fresh, timestamp, arrival, kind[1], second)
        self.octets += end - start
        series = self.series
        series.packet(arrival)
        if number == DUPLICATE:
            if kind is not None and kind[0] == AUDIO:
                earlier = sequence.packets - 1
                self.timing.receive(timestamp, arrival, kind[1], second & MARKER != 0, earlier)
            return
        step = sequence.step
        if step > 1:
            series.lose(step - 1)
        elif step == 0:
            series.find()
        if kind is None:
            self.unknown_payload += 1
        elif kind[0] == AUDIO:
            self.quiet = False
            self._audio(data[start:end], number, timestamp, arrival, kind[1], second, step > 0)
            return
        elif kind[0] == NOISE:
            self.comfort_noise += 1
            self.quiet = True
        else:
            self.event_packets += 1
            digit = self.digits.receive(timestamp, data[start:end], arrival)
            if digit is not None:
                self.new_digits.append((digit, arrival))
        if self.tap:
            self.play_out.push(number, arrival + _EVENT_DELAY, 0.0, None, payload_type)

    def _paused(
        self, elapsed: float, fresh: bool, timestamp: int, arrival: float, rate: int, second: int
    ) -> None:
        """No new packet came for a while before this one, which is not counted yet."""
        step = self.sequence.step
        timing = self.timing
        # Where repeated packets came meanwhile, the sender did not pause on purpose.
        skew = timing.skew(timestamp, arrival, rate) if timing.arrival < arrival - elapsed + PAUSE else None
        cause = cause_of(
            first=elapsed == inf,
            quiet=self.quiet,
            fresh=fresh,
            new=step > 0,
            step=step,
            marker=second & MARKER != 0,
            skew=skew,
            known=self.timeline.knows_dtx,
        )
        lost = step - 1 if step > 0 and not fresh else 0
        hole = step == 1 and is_hole(cause, elapsed, skew)
        self.timeline.paused(arrival - elapsed, arrival, cause, lost, hole=hole)

    def expect(self, now: float) -> None:
        """Audio is due from now on: where none comes is a gap."""
        self.timeline.expect(now)

    def excuse(self, now: float) -> None:
        """Audio is no longer due."""
        self.timeline.excuse(now, self.silence.last if self.silence.first is not None else None, self.quiet)

    def _audio(
        self,
        payload: bytes,
        number: int,
        timestamp: int,
        arrival: float,
        rate: int,
        second: int,
        in_order: bool,
    ) -> None:
        timing = self.timing
        marker = second & MARKER != 0
        before = timing.media_time
        media_time = timing.receive(timestamp, arrival, rate, marker, self.sequence.packets - 1)
        talkspurt = marker and in_order and media_time - before > _TALKSPURT
        mark, play_time = self.judges.judge(arrival, media_time, talkspurt)
        self.audio_packets += 1
        self.payload_type = payload_type = second & 0x7F
        series = self.series
        if timing.measured:
            series.jitter(timing.jitter)
        if mark:
            self.ledger.mark(number, RECEIVED | mark)
            if mark & PRIMARY_MARK:
                series.discard()
                return
        if self.tap:
            self.play_out.push(number, play_time, media_time, payload, payload_type)

    def _follow(self, ssrc: int, number16: int, payload_type: int, arrival: float) -> bool:
        """Another SSRC from the same source: a new stream at once, or a straggler of one that we knew."""
        if self.ssrc is not None:
            if ssrc in self._former and self._candidate != (ssrc, number16):
                self._candidate = (ssrc, (number16 + 1) & 0xFFFF)
                self.sequence.stale += 1
                self.sequence.packets += 1
                return False
            self.ssrc_changes += 1
            self._former[self.ssrc] = None
            if len(self._former) > _FORMER:
                del self._former[next(iter(self._former))]
        self._former.pop(ssrc, None)
        self._candidate = (-1, -1)
        self.ssrc = ssrc
        self._held = None
        self.sequence.begin()
        self.timing.discontinue(forget_jitter=True)
        self.play_out.begin()
        self.started.append((ssrc, payload_type, arrival))
        return True

    def _implausible(self, number: int, data: bytes, arrival: float) -> None:
        """A leap of the sequence number: wait for the next packet, which confirms a restart or does not."""
        if number == HELD:
            self._held = (data, arrival)
            return
        held, self._held = self._held, None
        self.timing.discontinue()
        self.play_out.begin()
        if held is not None:
            self.receive(*held)
        self.receive(data, arrival)

    def resume(self) -> None:
        """After a hold the far end's timestamps and numbers may have gone on, or not.

        Neither is jitter, and what it numbered and did not send is not lost.
        """
        self.timing.discontinue()
        self.sequence.begin()
        self._held = None

    def report(self, source: tuple[str, int] | None, now: float) -> ReceivedReport:
        return received_report(self, source, now)
