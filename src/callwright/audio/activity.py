"""What can be heard in a stream, measured while it runs: level, silence, clipping, a constant offset.

Everything is counted frame by frame, so that a call that ends has nothing left to compute. G.711 is not even
decoded: its octets index tables of squares and values.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from callwright.audio import g711
from callwright.audio.level import FLOOR_DBFS, FULL_SCALE, dbfs, energy

SumCodes = Callable[[bytes, bytes, bytes], tuple[int, int]]
"""See `Activity.add_payload`."""

SILENCE_DBFS = -50.0
"""A frame below this is silence: quieter than any speech, louder than the noise of a good line."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One direction of a call. All None where nothing was received."""

    seconds: float
    level_dbfs: float | None
    """RMS of all that came; `FLOOR_DBFS` for digital silence."""
    active_dbfs: float | None
    """RMS of the frames that are not silence; None where all are."""
    silence_pct: float | None
    """Share of the time below `SILENCE_DBFS`."""
    clipping_pct: float | None
    """Share of the samples at the end of the scale."""
    dc_pct: float | None
    """Constant offset, in percent of full scale."""

    @property
    def heard(self) -> bool:
        """Whether anything but silence came."""
        return self.active_dbfs is not None


class Activity:
    """Adds up what one stream sounds like, from PCM, or from the payloads of G.711 as they come."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples = self._active_samples = self._silent_samples = 0
        self._energy = self._active_energy = 0
        self._clipped = self._sum = 0
        self.threshold = FULL_SCALE * FULL_SCALE * 10 ** (SILENCE_DBFS / 10)

    def add_pcm(self, pcm: bytes) -> float:
        """Counts a frame of s16le; returns its level in dBFS."""
        count = len(pcm) // 2
        if not count:
            return FLOOR_DBFS
        if numpy := sys.modules.get("numpy"):
            values = numpy.frombuffer(pcm, "<i2")
            self._sum += int(values.sum(dtype=numpy.int64))
            self._clipped += int((values >= 32767).sum()) + int((values <= -32768).sum())
        else:
            samples = array("h", pcm)
            if sys.byteorder == "big":
                samples.byteswap()
            self._sum += sum(samples)
            self._clipped += samples.count(32767) + samples.count(-32768)
        return self._add(count, energy(pcm))

    def add_payload(self, payload: bytes, law: g711.Law, sum_codes: SumCodes | None = None) -> float:
        """Counts a frame of G.711 as it came; returns its level in dBFS.

        `sum_codes` does the sums where somebody can do them faster: (payload, the square of each code, the
        value of each code), the tables as 256 native 32-bit numbers, to (sum of squares, sum of values).
        """
        tables = _TABLES.get(law.silence) or _tables(law)
        count = len(payload)
        if not count:
            return FLOOR_DBFS
        total = 0
        if sum_codes is not None:
            total, values = sum_codes(payload, tables.squares, tables.values)
            self._sum += values
            for code in tables.ends:
                self._clipped += payload.count(code)
            return self._add(count, total)
        for start in range(0, count, _MOST_AT_ONCE):
            part = payload[start : start + _MOST_AT_ONCE]
            both = sum(map(tables.squares_and_values.__getitem__, part))
            total += both >> _VALUE_BITS
            self._sum += (both & _VALUE_MASK) - _OFFSET * len(part)
        for code in tables.ends:
            self._clipped += payload.count(code)
        return self._add(count, total)

    def _add(self, count: int, total: int) -> float:
        self._samples += count
        self._energy += total
        if total >= self.threshold * count:
            self._active_samples += count
            self._active_energy += total
        else:
            self._silent_samples += count
        return dbfs(total, count)

    def add_sums(
        self, samples: int, energy: int, active: int, active_energy: int, clipped: int, total: int
    ) -> None:
        """Counts frames that somebody else has summed up; a frame is active whose mean of squares reaches
        `threshold`."""
        self._samples += samples
        self._energy += energy
        self._active_samples += active
        self._active_energy += active_energy
        self._silent_samples += samples - active
        self._clipped += clipped
        self._sum += total

    def sound(self) -> Sound:
        """What was heard so far."""
        n = self._samples
        if not n:
            return Sound(0.0, None, None, None, None, None)
        return Sound(
            seconds=n / self._rate,
            level_dbfs=dbfs(self._energy, n),
            active_dbfs=dbfs(self._active_energy, self._active_samples) if self._active_samples else None,
            silence_pct=100 * self._silent_samples / n,
            clipping_pct=100 * self._clipped / n,
            dc_pct=100 * self._sum / n / FULL_SCALE,
        )


def tables_of(law: g711.Law) -> tuple[bytes, bytes, int, int]:
    """The square and the value of each code, as 256 native 32-bit numbers each; the codes of the largest and
    of the smallest value."""
    tables = _TABLES.get(law.silence) or _tables(law)
    return tables.squares, tables.values, *tables.ends


# One sum for two: the square above, the value made positive below, where 512 of them have room.
_VALUE_BITS = 25
_VALUE_MASK = (1 << _VALUE_BITS) - 1
_OFFSET = 32768
_MOST_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class _Tables:
    squares_and_values: tuple[int, ...]
    ends: tuple[int, int]
    squares: bytes
    values: bytes


_TABLES: dict[int, _Tables] = {}


def _tables(law: g711.Law) -> _Tables:
    values = law.values
    _TABLES[law.silence] = made = _Tables(
        tuple((value * value << _VALUE_BITS) + value + _OFFSET for value in values),
        (values.index(max(values)), values.index(min(values))),
        array("i", [value * value for value in values]).tobytes(),
        array("i", values).tobytes(),
    )
    return made
