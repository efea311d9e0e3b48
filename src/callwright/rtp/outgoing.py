"""The stream that we send: one packet each ptime on an absolute schedule, digits in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from callwright.rtp.packet import HEADER, MARKER
from callwright.rtp.series import ScheduleError, SecondSeries
from callwright.rtp.telephone_event import EventSender

_V2 = 0x80
_MAX_UNDRAINED = 6000


class FrameSource(Protocol):
    """Where the encoded audio comes from. It is asked once each ptime, and not while digits or nothing is
    sent."""

    def next_frame(self) -> bytes | None:
        """One ptime of encoded payload; None when there is nothing to send now."""
        ...


class SentFrame(NamedTuple):
    """A frame as it was sent; telephone-event packets are not among them."""

    media_time: float  # seconds since the start of the session, by the schedule
    payload: bytes
    payload_type: int
    sent_at: float


class OutgoingStream:
    """Sequence numbers, timestamps and the schedule of what we send.

    A packet is due at `start + slot * ptime`, whatever happened to those before, so nothing drifts. A host
    that was away finds at most `max_catch_up` packets due at once; slots before those are skipped: their
    timestamps pass (the far end hears silence, not loss) and `skipped` counts them.
    """

    __slots__ = (
        "_anchor",
        "_clock_rate",
        "_digits",
        "_marker",
        "_max_catch_up",
        "_ptime",
        "_ptime_ms",
        "_samples",
        "_sequence",
        "_slot",
        "_source",
        "_started",
        "_tap",
        "_timestamp",
        "event_packets",
        "first_packet",
        "first_sequence",
        "frames",
        "last_packet",
        "octets",
        "packets",
        "payload_type",
        "schedule_error",
        "sending",
        "series",
        "skipped",
        "ssrc",
        "telephone_event",
    )

    def __init__(self, entropy: Callable[[int], bytes], *, max_catch_up: int, tap: bool) -> None:
        self.ssrc = int.from_bytes(entropy(4), "big")
        self.first_sequence = self._sequence = int.from_bytes(entropy(2), "big")
        self._timestamp = int.from_bytes(entropy(4), "big")  # of slot 0
        self._anchor = 0.0  # when slot 0 is due
        self._slot = 0
        self._started: float | None = None
        self._max_catch_up = max(1, max_catch_up)
        self._tap = tap
        self._marker = True
        self._source: FrameSource | None = None
        self._digits: EventSender | None = None
        self._ptime = 0.02
        self._ptime_ms = 20
        self._samples = 160
        self._clock_rate = 8000
        self.payload_type = 0
        self.telephone_event: int | None = None
        self.sending = False
        self.packets = 0
        self.octets = 0
        self.event_packets = 0
        self.skipped = 0
        self.first_packet: float | None = None
        self.last_packet: float | None = None
        self.frames: list[SentFrame] = []
        self.schedule_error = ScheduleError()
        self.series = SecondSeries()

    def set_format(
        self, payload_type: int, clock_rate: int, samples: int, ptime_ms: int, telephone_event: int | None
    ) -> None:
        """What to send from the next slot on. Timestamps go on without a leap when the clock rate stays."""
        if not 10 <= ptime_ms <= 60 or samples < 1 or clock_rate < 1:
            raise ValueError(f"{samples} samples at {clock_rate} Hz each {ptime_ms} ms cannot be sent")
        if self._started is not None:
            self._timestamp = self._timestamp_of(self._slot)
            self._anchor += self._slot * self._ptime
            self._slot = 0
        if (samples, ptime_ms) != (self._samples, self._ptime_ms):
            self._digits = None
        self._samples, self._ptime_ms, self._ptime = samples, ptime_ms, ptime_ms / 1000.0
        self._clock_rate = clock_rate
        self.payload_type = payload_type
        self.telephone_event = telephone_event

    def start(self, now: float) -> None:
        self._anchor = self._started = now
        self.series.begin(now)

    def set_source(self, source: FrameSource | None, now: float | None) -> None:
        if now is not None:
            self._resume(now)
        self._source = source

    def set_sending(self, sending: bool, now: float) -> None:
        if sending and not self.sending:
            self._resume(now)
        self.sending = sending

    def dial(self, digits: str, now: float, tone_ms: int, pause_ms: int) -> None:
        """Queue digits; ValueError for a character that is none, or when the far end takes no telephone-
        event."""
        if self.telephone_event is None:
            raise ValueError("the far end takes no telephone-event")
        if self._digits is None:
            self._digits = EventSender(self._samples, self._ptime_ms, tone_ms, pause_ms)
        if not self._due_for_something():
            self._resume(now)
        self._digits.enqueue(digits, self._ptime_ms)

    @property
    def dialing(self) -> bool:
        return self._digits is not None and self._digits.active

    def _due_for_something(self) -> bool:
        if not self.sending or self._started is None:
            return False
        return self._source is not None or self.dialing

    def _resume(self, now: float) -> None:
        """After a silence of our own will: the next slot from now on, none counted as skipped."""
        if self._started is None or self._due_for_something():
            return
        slot = -int(-(now - self._anchor) // self._ptime)
        if slot > self._slot:
            self._slot = slot
        self._marker = True

    def next_due(self) -> float | None:
        if not self._due_for_something():
            return None
        return self._anchor + self._slot * self._ptime

    def _timestamp_of(self, slot: int) -> int:
        return (self._timestamp + slot * self._samples) & 0xFFFFFFFF

    def timestamp_at(self, now: float) -> int:
        """The RTP timestamp of this very moment, for a sender report."""
        return (self._timestamp + round((now - self._anchor) * self._clock_rate)) & 0xFFFFFFFF

    def wake(self, now: float) -> list[bytes]:
        """The packets that are due."""
        out: list[bytes] = []
        if not self._due_for_something():
            return out
        due = self._anchor + self._slot * self._ptime
        if now < due:
            return out
        ptime = self._ptime
        if now - due >= ptime * self._max_catch_up:
            behind = int((now - due) / ptime) + 1 - self._max_catch_up
            self.schedule_error.add(now - due)
            self.skipped += behind
            self._slot += behind
            self._marker = True
            due = self._anchor + self._slot * self._ptime
        while due <= now:
            packet = self._packet(now, due)
            if packet is not None:
                out.append(packet)
                self.schedule_error.add(now - due)
            self._slot += 1
            due = self._anchor + self._slot * self._ptime
        return out

    def _packet(self, now: float, due: float) -> bytes | None:
        timestamp = (self._timestamp + self._slot * self._samples) & 0xFFFFFFFF
        payload_type = self.payload_type
        payload: bytes | None = None
        digits = self._digits
        marker = False
        if digits is not None and digits.active:
            event = digits.next(timestamp)
            if event is not None and self.telephone_event is not None:
                timestamp, marker, payload = event
                payload_type = self.telephone_event
                self.event_packets += 1
                self._marker = False
        if payload is None:
            if self._source is not None:
                payload = self._source.next_frame()
            if payload is None:
                self._marker = True
                return None
            marker = self._marker
            self._marker = False
            if self._tap:
                self._keep(SentFrame(due - (self._started or 0.0), payload, payload_type, now))
        sequence = self._sequence
        self._sequence = (sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        if self.first_packet is None:
            self.first_packet = now
        self.last_packet = now
        self.series.packet(now)
        second = payload_type | MARKER if marker else payload_type
        return HEADER.pack(_V2, second, sequence, timestamp, self.ssrc) + payload

    def _keep(self, frame: SentFrame) -> None:
        if len(self.frames) >= _MAX_UNDRAINED:
            self.frames.clear()
        self.frames.append(frame)
