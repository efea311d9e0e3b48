"""DTMF in the audio itself (ITU-T Q.23 and Q.24): generated, and detected."""

from __future__ import annotations

import math

import numpy as np

from callwright.audio.level import FULL_SCALE
from callwright.audio.tones import tones

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
DIGITS = "".join(KEYS)

_HOP_MS = 10
_BLOCK_MS = 20
# A digit counts from the second block that shows it, so that 40 ms are always found and 20 ms never
# (Q.24), and ends after three blocks without it, so that a gap of 10 ms does not make two of one.
_BLOCKS_TO_BEGIN = 2
_BLOCKS_TO_END = 3
_LEAST_POWER = (FULL_SCALE * 10 ** (-45 / 20)) ** 2
_TWIST = 10 ** (
    10 / 10
)  # power ratio between the two tones: 8 dB is to be accepted either way, with a margin
_DOMINANCE = 10 ** (6 / 10)  # over the next tone of the same group
_PURITY = 0.6  # of all the power of the block, in the two tones


def frequencies(digit: str) -> tuple[int, int]:
    """The two tones of a digit, row and column in Hz. `ValueError` names the digits."""
    for row, keys in zip(ROWS, KEYS, strict=True):
        if len(digit) == 1 and digit.upper() in keys:
            return row, COLUMNS[keys.index(digit.upper())]
    raise ValueError(f"{digit!r} is not a DTMF digit; the digits are {' '.join(DIGITS)}")


def generate(
    digits: str, sample_rate: int = 8000, *, tone_ms: int = 100, pause_ms: int = 100, level: float = -13.0
) -> bytes:
    """The digits as s16le, each followed by its pause; a comma is a pause of a second.

    `level` is that of each tone in dBFS, columns 2 dB more.
    """
    pause = bytes(2 * (sample_rate * pause_ms // 1000))
    parts = []
    for digit in digits:
        if digit == ",":
            parts.append(bytes(2 * sample_rate))
            continue
        row, column = frequencies(digit)
        parts += [tones((row, column), tone_ms / 1000, sample_rate, (level, level + 2)), pause]
    return b"".join(parts)


class DtmfDetector:
    """Finds digits in PCM as it comes, in pieces of any size."""

    def __init__(self, sample_rate: int = 8000) -> None:
        self._size = 2 * (sample_rate * _BLOCK_MS // 1000)
        self._hop = 2 * (sample_rate * _HOP_MS // 1000)
        # Correlation with a complex tone; the sum of a block's cosine and sine parts, squared, is its power.
        steps = np.array([2 * math.pi * f / sample_rate for f in (*ROWS, *COLUMNS)])
        angles = np.outer(steps, np.arange(self._size // 2))
        self._cosines, self._sines = np.cos(angles), np.sin(angles)
        self._pending = bytearray()
        self._candidate: str | None = None
        self._seen = self._missed = 0
        self._current: str | None = None
        self.digits = ""
        """All digits that were found so far."""

    def feed(self, pcm: bytes) -> str:
        """Takes s16le and returns the digits that began in it."""
        before = len(self.digits)
        self._pending += pcm
        while len(self._pending) >= self._size:
            self._step(self._digit(bytes(self._pending[: self._size])))
            del self._pending[: self._hop]
        return self.digits[before:]

    def _step(self, digit: str | None) -> None:
        if digit is not None and digit == self._current:
            self._missed = 0
            return
        if digit is not None and digit == self._candidate:
            self._seen += 1
        else:
            self._candidate, self._seen = digit, 1
        if self._current is not None:
            self._missed += 1
            if self._missed >= _BLOCKS_TO_END:
                self._current = None
        if digit is not None and self._seen >= _BLOCKS_TO_BEGIN:
            self.digits += digit
            self._current, self._missed = digit, 0

    def _digit(self, block: bytes) -> str | None:
        samples = np.frombuffer(block, "<i2").astype(float)
        count = len(samples)
        total = float(samples @ samples) / count
        if total < _LEAST_POWER:
            return None
        powers = (2 * ((self._cosines @ samples) ** 2 + (self._sines @ samples) ** 2) / count**2).tolist()
        rows, columns = powers[:4], powers[4:]
        row, column = max(rows), max(columns)
        if row + column < _PURITY * total or not 1 / _TWIST < row / max(column, 1e-9) < _TWIST:
            return None
        for group, best in ((rows, row), (columns, column)):
            if sorted(group)[-2] * _DOMINANCE > best:
                return None
        return KEYS[rows.index(row)][columns.index(column)]
