"""The stream that we send: one packet each ptime on an absolute schedule, digits in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from callwright.rtp.packet import HEADER, MARKER
from callwright.rtp.series import ScheduleError, SecondSeries
from callwright.rtp.telephone_event import EventSender

_V2 = 0x80
_MAX_UNDRAINED = 6000


class FrameSource(Protocol):
    """Where the encoded audio comes from. It is asked once each ptime, and not while digits or nothing is
    sent.

    A source with a true attribute `live` makes its audio as it goes on: it is never asked ahead of time. One
    that has `next_frames(count)` is asked for the next `count` frames at once by `prepare`, which costs less.
    """

    def next_frame(self) -> bytes | None:
        """One ptime of encoded payload; None when there is nothing to send now."""
        ...


class Prepared(NamedTuple):
    """An RTP packet made ahead of time."""

    due: float
    data: bytes
    address: tuple[str, int]


class SentFrame(NamedTuple):
    """A frame as it was sent; telephone-event packets are not among them."""

    media_time: float  # seconds since the start of the session, by the schedule
    payload: bytes
    payload_type: int
    sent_at: float


class _Slot(NamedTuple):
    """A slot whose packet is made and has yet to leave; `packet` None: the source had nothing for it."""

    number: int
    due: float
    packet: bytes | None
    payload: bytes | None
    is_event: bool
    took_frame: bool
    marker: bool  # as it stood before the slot
    digits: EventSender | None  # likewise, where there were any


class OutgoingStream:
    """Sequence numbers, timestamps and the schedule of what we send.

    A packet is due at `start + slot * ptime`, whatever happened to those before, so nothing drifts. A host
    that was away finds at most `max_catch_up` packets due at once; slots before those are skipped: their
    timestamps pass (the far end hears silence, not loss) and `skipped` counts them.

    Packets may be made ahead of time, for somebody who sends them more punctually than we are woken:
    `prepare` makes them, `settle` tells when they left and counts them then, `withdraw` takes back those that
    have not left, as if they had never been made.
    """

    __slots__ = (
        "_ahead",
        "_anchor",
        "_clock_rate",
        "_digits",
        "_marker",
        "_max_catch_up",
        "_next_frames",
        "_ptime",
        "_ptime_ms",
        "_returned",
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
        self._next_frames: Callable[[int], Sequence[bytes | None]] | None = None
        self._digits: EventSender | None = None
        self._ahead: deque[_Slot] = deque()
        # Frames that the source gave and no slot has: of slots that were withdrawn, or of slots to come.
        self._returned: deque[bytes | None] = deque()
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
        if source is not self._source:
            self._returned.clear()
        self._source = source
        self._next_frames = getattr(source, "next_frames", None)

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
        if self._digits is not None and self._digits.active:
            return True
        return any(slot.is_event for slot in self._ahead)

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
            slot = self._make(due, undoable=False)
            if slot.packet is not None:
                out.append(slot.packet)
                self._count(slot, now)
            due = self._anchor + self._slot * self._ptime
        return out

    def prepare(self, now: float, until: float, most: int, destination: tuple[str, int]) -> list[Prepared]:
        """The packets of the slots from now to `until`, of which `most` may be on their way at once.

        Nothing for a live source, nor when a slot is due already: that is for `wake`.
        """
        out: list[Prepared] = []
        if not self._due_for_something() or self.live:
            return out
        due = self._anchor + self._slot * self._ptime
        if due <= now:
            return out
        self._pass_over(now)
        ahead = self._ahead
        if self._next_frames is not None and due < until:
            wanted = min(int((until - due) / self._ptime) + 1, most - len(ahead)) - len(self._returned)
            if wanted > 0:
                self._returned.extend(self._next_frames(wanted))
        while due < until and len(ahead) < most and self._due_for_something():
            slot = self._make(due, undoable=True)
            ahead.append(slot)
            if slot.packet is not None:
                out.append(Prepared(due, slot.packet, destination))
            due = self._anchor + self._slot * self._ptime
        return out

    def settle(self, left: Sequence[float]) -> None:
        """The first of what was prepared has left, at these times."""
        ahead = self._ahead
        for at in left:
            slot = ahead.popleft()
            while slot.packet is None:
                slot = ahead.popleft()
            self._count(slot, at)

    def withdraw(self, now: float) -> None:
        """What has not been settled will not leave: its slots, numbers and frames are free again."""
        self._pass_over(now)
        ahead = self._ahead
        if not ahead:
            return
        first = ahead[0]
        self._slot, self._marker = first.number, first.marker
        if first.digits is not None:
            self._digits = first.digits
        self._sequence = (self._sequence - sum(slot.packet is not None for slot in ahead)) & 0xFFFF
        self._returned.extendleft(slot.payload for slot in reversed(ahead) if slot.took_frame)
        ahead.clear()

    def _pass_over(self, now: float) -> None:
        """Slots without a packet are over when their time is."""
        ahead = self._ahead
        while ahead and ahead[0].packet is None and ahead[0].due <= now:
            ahead.popleft()

    @property
    def live(self) -> bool:
        """The source makes its audio as it goes on."""
        return bool(getattr(self._source, "live", False))

    @property
    def prepared(self) -> bool:
        """Something was prepared and has not been settled."""
        return bool(self._ahead)

    def _make(self, due: float, *, undoable: bool) -> _Slot:
        """The packet of the present slot; the next one is the present one then."""
        number, marked = self._slot, self._marker
        timestamp = (self._timestamp + number * self._samples) & 0xFFFFFFFF
        self._slot = number + 1
        payload_type = self.payload_type
        payload: bytes | None = None
        digits = self._digits
        before: EventSender | None = None
        marker = took = is_event = False
        if digits is not None and digits.active:
            before = digits.copy() if undoable else None
            event = digits.next(timestamp)
            if event is not None and self.telephone_event is not None:
                timestamp, marker, payload = event
                payload_type = self.telephone_event
                is_event = True
                self._marker = False
        if payload is None:
            if self._returned:
                payload, took = self._returned.popleft(), True
            elif self._source is not None:
                payload, took = self._source.next_frame(), True
            if payload is None:
                self._marker = True
                return _Slot(number, due, None, None, False, took, marked, before)
            marker = marked
            self._marker = False
        sequence = self._sequence
        self._sequence = (sequence + 1) & 0xFFFF
        second = payload_type | MARKER if marker else payload_type
        packet = HEADER.pack(_V2, second, sequence, timestamp, self.ssrc) + payload
        return _Slot(number, due, packet, payload, is_event, took, marked, before)

    def _count(self, slot: _Slot, now: float) -> None:
        """A packet has left."""
        payload = slot.payload or b""
        self.packets += 1
        self.octets += len(payload)
        if slot.is_event:
            self.event_packets += 1
        elif self._tap:
            self._keep(SentFrame(slot.due - (self._started or 0.0), payload, self.payload_type, now))
        if self.first_packet is None:
            self.first_packet = now
        self.last_packet = now
        self.series.packet(now)
        self.schedule_error.add(now - slot.due)

    def _keep(self, frame: SentFrame) -> None:
        if len(self.frames) >= _MAX_UNDRAINED:
            self.frames.clear()
        self.frames.append(frame)
