"""Jitter buffers as pure accounting: what each would do with a packet that arrives now.

All see the same stream, so one call is judged under every one of them at once. A buffer knows only the
transit of a packet (arrival minus media time, seconds; its origin is arbitrary) and answers whether it would
be played.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

PLAYED = 0
LATE = 1
OVERFLOW = 2

# So many late packets in a row, and a receiver begins to fill its buffer anew.
RESYNCHRONIZE = 25
_ROUNDING = 1e-6  # seconds; a packet that comes at its very play-out time is played

DRIFT_WINDOW = 10.0  # seconds
MAX_DRIFT = 0.002  # seconds a window: 200 ppm, twice what sound cards do


class JitterBuffer(Protocol):
    """What a buffer counts; `judge` answers PLAYED, LATE or OVERFLOW."""

    name: str
    played: int
    late: int
    overflow: int

    def judge(self, transit: float, talkspurt: bool) -> int: ...

    def hold(self, transit: float) -> float:
        """Seconds from the arrival of a packet of this transit to its play-out."""
        ...

    @property
    def nominal_delay(self) -> float: ...

    @property
    def max_delay(self) -> float: ...


class FixedBuffer:
    """Plays each packet `delay` after the time at which the stream's first packet would set it.

    Holds at most `capacity` seconds (twice the delay unless told): a packet further ahead of its time
    overflows, and the buffer sets itself anew, as one does whose first packet was held up. So it does at a
    talkspurt, and after a run of late packets.
    """

    __slots__ = (
        "_base",
        "_misses",
        "capacity",
        "delay",
        "late",
        "name",
        "overflow",
        "played",
        "resynchronized",
    )

    def __init__(self, name: str, delay: float, capacity: float | None = None) -> None:
        self.name = name
        self.delay = delay
        self.capacity = 2.0 * delay if capacity is None else capacity
        self.played = 0
        self.late = 0
        self.overflow = 0
        self.resynchronized = 0
        self._base: float | None = None
        self._misses = 0

    def judge(self, transit: float, talkspurt: bool) -> int:
        base = self._base
        if base is None or talkspurt:
            base = self._base = transit
        ahead = base + self.delay - transit
        if -_ROUNDING <= ahead <= self.capacity + _ROUNDING:
            self.played += 1
            self._misses = 0
            return PLAYED
        self._misses += 1
        if ahead > 0.0 or self._misses >= RESYNCHRONIZE:
            self._base = transit
            self._misses = 0
            self.resynchronized += 1
        if ahead < 0.0:
            self.late += 1
            return LATE
        self.overflow += 1
        return OVERFLOW

    def hold(self, transit: float) -> float:
        base = transit if self._base is None else self._base
        return max(0.0, base + self.delay - transit)

    @property
    def nominal_delay(self) -> float:
        return self.delay

    @property
    def max_delay(self) -> float:
        return self.delay


class AdaptiveBuffer:
    """Holds as little as lately sufficed: grows at once with a late packet, shrinks by a quarter every two
    seconds.

    The delay is counted from the fastest packet of the last ten to twenty seconds. A late packet is
    discarded, and makes room for those like it, up to `maximum`.
    """

    __slots__ = (
        "_count",
        "_delay",
        "_delay_sum",
        "_floor",
        "_floor_now",
        "_floor_packets",
        "_largest",
        "_misses",
        "_peak",
        "_peak_packets",
        "late",
        "maximum",
        "minimum",
        "name",
        "overflow",
        "played",
    )

    MARGIN = 0.005
    PEAK_PACKETS = 100
    FLOOR_PACKETS = 500

    def __init__(
        self, name: str = "adaptive", minimum: float = 0.02, initial: float = 0.04, maximum: float = 0.5
    ) -> None:
        self.name = name
        self.minimum = minimum
        self.maximum = maximum
        self.played = 0
        self.late = 0
        self.overflow = 0
        self._delay = self._largest = initial
        self._delay_sum = 0.0
        self._count = 0
        self._floor: float | None = None
        self._floor_now = 0.0
        self._floor_packets = 0
        self._peak = 0.0
        self._peak_packets = 0
        self._misses = 0

    def judge(self, transit: float, talkspurt: bool) -> int:
        floor = self._floor
        if floor is None:
            floor = self._floor = self._floor_now = transit
        elif transit < floor:
            floor = self._floor = transit
        if transit < self._floor_now:
            self._floor_now = transit
        excess = transit - floor
        self._count += 1
        self._delay_sum += self._delay
        self._age(excess, transit)
        if excess <= self._delay + _ROUNDING:
            self.played += 1
            self._misses = 0
            return PLAYED
        self.late += 1
        self._misses += 1
        self._delay = min(self.maximum, excess + self.MARGIN)
        if self._delay > self._largest:
            self._largest = self._delay
        if self._misses >= RESYNCHRONIZE:  # the path itself has become longer
            self._floor = self._floor_now = transit
            self._misses = 0
        return LATE

    def _age(self, excess: float, transit: float) -> None:
        if excess > self._peak:
            self._peak = excess
        self._peak_packets += 1
        if self._peak_packets >= self.PEAK_PACKETS:
            wanted = max(self.minimum, self._peak + self.MARGIN)
            if wanted < self._delay:
                self._delay -= (self._delay - wanted) / 4.0
            self._peak = 0.0
            self._peak_packets = 0
        self._floor_packets += 1
        if self._floor_packets >= self.FLOOR_PACKETS:
            self._floor = self._floor_now
            self._floor_now = transit
            self._floor_packets = 0

    def hold(self, transit: float) -> float:
        floor = transit if self._floor is None else self._floor
        return max(0.0, floor + self._delay - transit)

    @property
    def nominal_delay(self) -> float:
        return self._delay_sum / self._count if self._count else self._delay

    @property
    def max_delay(self) -> float:
        return self._largest


def standard_buffers() -> list[JitterBuffer]:
    """The buffers that every stream is judged under, the primary first."""
    return [FixedBuffer("fixed_50", 0.05), FixedBuffer("fixed_200", 0.2), AdaptiveBuffer()]


class Judges:
    """Puts each packet before all buffers, with the drift between the two clocks taken off its transit."""

    __slots__ = ("_correction", "_fastest", "_reference", "_window_end", "buffers", "primary")

    def __init__(self, buffers: Sequence[JitterBuffer]) -> None:
        self.buffers = list(buffers)
        self.primary = self.buffers[0]
        self._correction = 0.0
        self._reference: float | None = None
        self._fastest = 0.0
        self._window_end: float | None = None

    def judge(self, arrival: float, media_time: float, talkspurt: bool) -> tuple[int, float]:
        """A mark, with bit `2 << index` for each buffer that discards; and when the primary plays it."""
        raw = arrival - media_time
        if self._window_end is None:
            self._window_end = arrival + DRIFT_WINDOW
            self._fastest = raw
        elif arrival >= self._window_end:
            self._follow_drift(raw, arrival)
        elif raw < self._fastest:
            self._fastest = raw
        transit = raw - self._correction
        mark = 0
        bit = 2
        for buffer in self.buffers:
            if buffer.judge(transit, talkspurt):
                mark |= bit
            bit <<= 1
        return mark, arrival + self.primary.hold(transit)

    def _follow_drift(self, raw: float, arrival: float) -> None:
        # A sound card is wrong by some 50 ppm: 180 ms an hour, which no fixed buffer survives and every real
        # receiver corrects. Steps are the network's, and larger than what a window may correct.
        if self._reference is None:
            self._reference = self._fastest
        else:
            error = self._fastest - self._correction - self._reference
            self._correction += max(-MAX_DRIFT, min(MAX_DRIFT, error))
        self._fastest = raw
        self._window_end = arrival + DRIFT_WINDOW
