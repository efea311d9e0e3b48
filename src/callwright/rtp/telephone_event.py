"""Telephone events (RFC 4733): digits as RTP packets of their own, sent and received."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import NamedTuple

from callwright.rtp.report import ReceivedDigit

KEYS = "0123456789*#ABCD!"  # event codes 0 to 15, and 16: flash
PAUSE = ","
COMMA_MS = 1000  # what a comma among the digits waits
END = 0x80
END_PACKETS = 3  # RFC 4733 2.5.1.4: the last packet is sent three times
VOLUME = 10  # -10 dBm0
MAX_DURATION = 0xFFFF

_EVENT = Struct("!BBH")
_REMEMBERED = 16
_MAX_DIGITS = 4096


class EventPacket(NamedTuple):
    timestamp: int  # of the event's start, the same in all its packets
    marker: bool
    payload: bytes


class EventSender:
    """Turns digits into what goes out in each slot of one ptime, in place of audio.

    Every event takes its tone time, then two further slots that repeat its end, then a pause in which audio
    flows. Tones longer than 65535 timestamp units are cut to that.
    """

    __slots__ = (
        "_begun",
        "_duration",
        "_event",
        "_gap",
        "_pause",
        "_queue",
        "_repeats",
        "_slot",
        "_start",
        "_tone",
    )

    def __init__(
        self, samples_per_packet: int, ptime_ms: int, tone_ms: int = 100, pause_ms: int = 100
    ) -> None:
        self._slot = samples_per_packet
        self._tone = max(1, min(-(-tone_ms // ptime_ms), MAX_DURATION // samples_per_packet))
        self._pause = max(-(-pause_ms // ptime_ms), END_PACKETS)
        self._queue: deque[tuple[int, int]] = deque()  # (event, or -1; slots)
        self._event = -1
        self._start = 0
        self._duration = 0
        self._repeats = 0
        self._gap = 0
        self._begun = False

    def enqueue(self, digits: str, ptime_ms: int) -> None:
        """Digits `0-9 * # A-D !`, and `,` for a second's pause; ValueError names a character that is none."""
        events: list[tuple[int, int]] = []
        for character in digits.upper():
            if character == PAUSE:
                events.append((-1, COMMA_MS // ptime_ms))
            elif character in KEYS:
                events.append((KEYS.index(character), self._tone))
            else:
                raise ValueError(f"{character!r} is not a digit: 0-9, *, #, A-D, ! (flash) and , (pause) are")
        self._queue.extend(events)

    def copy(self) -> EventSender:
        """Another that stands where this one does."""
        other = EventSender.__new__(EventSender)
        other._slot, other._tone, other._pause = self._slot, self._tone, self._pause
        other._queue = self._queue.copy()
        other._event, other._start, other._duration = self._event, self._start, self._duration
        other._repeats, other._gap, other._begun = self._repeats, self._gap, self._begun
        return other

    @property
    def active(self) -> bool:
        """Something is queued or under way."""
        return bool(self._queue) or self._event >= 0

    def next(self, timestamp: int) -> EventPacket | None:
        """The packet of the slot that begins at `timestamp`; None when the slot belongs to audio."""
        if self._event < 0:
            if self._gap > 0:
                self._gap -= 1
                return None
            if not self._queue:
                return None
            event, slots = self._queue.popleft()
            if event < 0:
                self._gap = slots - 1
                return None
            self._event, self._repeats, self._duration, self._start = event, 0, 0, timestamp
        marker = self._duration == 0
        ending = self._duration >= (self._tone - 1) * self._slot
        if self._repeats == 0:
            self._duration += self._slot
        packet = EventPacket(
            self._start,
            marker,
            _EVENT.pack(self._event, (END if ending else 0) | VOLUME, self._duration),
        )
        if ending:
            self._repeats += 1
            if self._repeats == END_PACKETS:
                self._event = -1
                self._gap = self._pause - (END_PACKETS - 1)
        return packet


class _Incoming:
    __slots__ = ("at", "duration", "ended", "event", "last", "timestamp")

    def __init__(self, event: int, timestamp: int, at: float) -> None:
        self.event = event
        self.timestamp = timestamp
        self.at = at
        self.last = timestamp
        self.duration = 0
        self.ended = False


class EventReceiver:
    """Collects digits out of packets that may be lost, repeated or out of order: one for each timestamp.

    A digit counts with its first packet that arrives, whichever that is; its duration is the longest seen.
    An event too long for one duration field goes on under a new timestamp (RFC 4733 2.5.1.3): still one
    digit.
    """

    __slots__ = ("_clock_rate", "_digits", "_recent", "ignored")

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._recent: dict[tuple[int, int], _Incoming] = {}  # (timestamp, event) -> digit, the newest last
        self._digits: list[_Incoming] = []
        self.ignored = 0  # malformed, or events that are no keys

    def set_clock_rate(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate

    def receive(self, timestamp: int, payload: bytes, arrival: float) -> str | None:
        """The key when the packet is the first of a new digit, else None."""
        if len(payload) < 4:
            self.ignored += 1
            return None
        event, flags, duration = _EVENT.unpack_from(payload)
        if event >= len(KEYS):
            self.ignored += 1
            return None
        incoming = self._recent.get((timestamp, event))
        new = None
        if incoming is None:
            incoming = self._continued(event, timestamp)
            if incoming is None:
                if len(self._digits) >= _MAX_DIGITS:
                    self.ignored += 1
                    return None
                incoming = _Incoming(event, timestamp, arrival)
                self._digits.append(incoming)
                new = KEYS[event]
            self._recent[timestamp, event] = incoming
            if len(self._recent) > _REMEMBERED:
                del self._recent[next(iter(self._recent))]
        elapsed = ((timestamp - incoming.timestamp) & 0xFFFFFFFF) + duration
        incoming.duration = max(incoming.duration, elapsed)
        if flags & END:
            incoming.ended = True
        return new

    def _continued(self, event: int, timestamp: int) -> _Incoming | None:
        """The long event that a segment at `timestamp` goes on with."""
        if not self._digits:
            return None
        last = self._digits[-1]
        if last.event != event or last.ended or last.duration < MAX_DURATION // 2:
            return None
        segment = (timestamp - last.last) & 0xFFFFFFFF
        if segment != MAX_DURATION:
            return None
        last.last = timestamp
        return last

    def digits(self) -> tuple[ReceivedDigit, ...]:
        return tuple(
            ReceivedDigit(
                KEYS[digit.event], digit.at, 1000.0 * digit.duration / self._clock_rate, digit.ended
            )
            for digit in self._digits
        )
