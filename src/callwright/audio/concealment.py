"""Hiding lost packets, after the principle of ITU-T G.711 appendix I.

What is missing is filled with the last pitch period of what was heard, repeated: one period for the
first 10 ms, two for the next, three from then on, so that a long gap does not buzz. From 10 ms on it
fades, and is silent at 60 ms. What comes after a loss is faded in over the filling. Unlike the
appendix this delays nothing: the seam at the start is smoothed by letting the step at it decay.

This is why a stream that is played out here may be rated with Bpl 25.1.
"""

from __future__ import annotations

import math
import sys
from array import array
from operator import mul

_PITCH_LEAST_MS = 5.0
_PITCH_MOST_MS = 15.0
_CORRELATED_MS = 20.0
_FRAME_MS = 10
_SILENT_AFTER_MS = 60
_HISTORY_MS = 50


def _array(pcm: bytes) -> array[int]:
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


class Concealer:
    """Stands between a decoder and what is played out; one for each stream.

    Frames are s16le of any whole number of milliseconds. A received frame costs next to nothing,
    unless it follows a loss; the first lost frame costs a search for the pitch.
    """

    def __init__(self, sample_rate: int = 8000) -> None:
        self._rate = sample_rate
        self._kept = 2 * self._samples(_HISTORY_MS)
        self._history = bytes(self._kept)
        self._past: list[int] = []
        self._pitch = 0
        self._made = 0
        """Samples made up since the last that was received; 0 while nothing is lost."""
        self._phase = 0
        self._step = 0
        self._cycle: list[float] = []

    def _samples(self, ms: float) -> int:
        return int(self._rate * ms / 1000)

    def received(self, pcm: bytes) -> bytes:
        """Passes a frame that came, its start faded in over the filling if something was lost before it."""
        if self._made:
            pcm = self._faded_in(pcm)
            self._made = 0
        self._history = (self._history + pcm)[-self._kept :]
        return pcm

    def lost(self, ms: int) -> bytes:
        """Fills in for `ms` milliseconds that did not come."""
        filling = self._filling(self._samples(ms))
        pcm = self._packed(filling)
        self._history = (self._history + pcm)[-self._kept :]
        return pcm

    def _packed(self, values: list[float]) -> bytes:
        samples = array("h", [max(-32768, min(32767, round(value))) for value in values])
        if sys.byteorder == "big":
            samples.byteswap()
        return samples.tobytes()

    def _faded_in(self, pcm: bytes) -> bytes:
        """Overlap and add: 4 ms, and 4 ms more for each 10 ms that were lost, at most 10 ms."""
        lost_ms = self._made * 1000 / self._rate
        count = min(len(pcm) // 2, self._samples(min(10.0, 4 + 4 * (lost_ms // _FRAME_MS))))
        filling = self._filling(count)
        samples = _array(pcm[: 2 * count])
        mixed = [
            old + (new - old) * (n + 1) / (count + 1)
            for n, (old, new) in enumerate(zip(filling, samples, strict=True))
        ]
        return self._packed(mixed) + pcm[2 * count :]

    def _filling(self, count: int) -> list[float]:
        values: list[float] = []
        while len(values) < count:
            if self._made == 0:
                self._begin()
            frame = self._samples(_FRAME_MS)
            number, within = divmod(self._made, frame)
            take = min(frame - within, count - len(values))
            if self._made >= self._samples(_SILENT_AFTER_MS):
                values += [0.0] * (count - len(values))
                self._made += take
                break
            if within == 0 and number in (1, 2):
                self._lengthen(number + 1)
            values += self._repeat(take)
        return values

    def _begin(self) -> None:
        self._past = list(_array(self._history))
        self._pitch = self._find_pitch()
        self._phase = 0
        # The step between the last sample heard and the first made decays over a quarter of a period.
        self._step = self._past[-1] - self._past[-self._pitch - 1]
        self._build(1)

    def _build(self, periods: int) -> None:
        """The stretch that is repeated: the last `periods` periods, its end led over into its start."""
        length, quarter = periods * self._pitch, max(1, self._pitch // 4)
        cycle = [float(value) for value in self._past[-length:]]
        before = self._past[-length - quarter : -length]
        for n in range(quarter):
            share = (n + 1) / (quarter + 1)
            cycle[length - quarter + n] += (before[n] - cycle[length - quarter + n]) * share
        self._cycle = cycle

    def _lengthen(self, periods: int) -> None:
        if (periods + 0.25) * self._pitch <= len(self._past):
            shift = len(self._cycle)
            self._build(periods)
            # Go on where the shorter stretch was: it is the end of the longer one.
            self._phase = (self._phase + len(self._cycle) - shift) % len(self._cycle)

    def _repeat(self, count: int) -> list[float]:
        cycle, length = self._cycle, len(self._cycle)
        hold, end = self._samples(_FRAME_MS), self._samples(_SILENT_AFTER_MS)
        quarter = max(1, self._pitch // 4)
        phase = self._phase
        values: list[float] = []
        for n in range(self._made, self._made + count):
            value = cycle[phase]
            phase += 1
            if phase == length:
                phase = 0
            if n < quarter:
                value += self._step * (1 - (n + 1) / (quarter + 1))
            if n >= hold:
                value *= max(0.0, 1 - (n - hold) / (end - hold))
            values.append(value)
        self._phase = phase
        self._made += count
        return values

    def _find_pitch(self) -> int:
        """The lag at which the last 20 ms look most like what was before them."""
        least, most = self._samples(_PITCH_LEAST_MS), self._samples(_PITCH_MOST_MS)
        window = self._samples(_CORRELATED_MS)
        now = self._past[-window:]
        stride = max(1, self._rate // 4000)  # coarse first: every second sample at 8 kHz

        def likeness(lag: int, every: int) -> float:
            then = self._past[-window - lag : -lag]
            dot: int = sum(map(mul, now[::every], then[::every]))
            power: int = sum(map(mul, then[::every], then[::every]))
            return dot / math.sqrt(power + 1)

        # Several candidates are looked at closely: a pitch between two samples fits better at twice its lag.
        coarse = sorted(range(least, most + 1, stride), key=lambda lag: likeness(lag, stride))[
            -4 if stride < 4 else -2 :
        ]
        close = {lag for near in coarse for lag in range(near - stride + 1, near + stride)}
        every = max(1, self._rate // 8000)
        return max((lag for lag in close if least <= lag <= most), key=lambda lag: likeness(lag, every))
