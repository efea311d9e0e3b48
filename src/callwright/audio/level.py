"""Levels of PCM, in dBFS.

0 dBFS is the RMS of a square wave at full scale, so the loudest sine has −3.01 dBFS. In G.711 that sine is
+3.17 dBm0 (µ-law; 3.14 in A-law), so 0 dBm0 is about −6.18 dBFS.
"""

from __future__ import annotations

import math
import sys
from array import array
from operator import mul

FULL_SCALE = 32768.0
FLOOR_DBFS = -100.0
"""What digital silence is said to have, since minus infinity is no number of JSON."""


def energy(pcm: bytes) -> int:
    """Sum of the squares of s16le samples."""
    if numpy := sys.modules.get("numpy"):  # only where somebody has paid for the import already
        samples = numpy.frombuffer(pcm, "<i2").astype(numpy.float64)
        return int(samples @ samples)
    values = array("h", pcm)
    if sys.byteorder == "big":
        values.byteswap()
    return sum(map(mul, values, values))


def dbfs(total: float, samples: int) -> float:
    """The level of `samples` samples whose squares sum to `total`; `FLOOR_DBFS` at the least."""
    if samples <= 0 or total <= 0:
        return FLOOR_DBFS
    return max(FLOOR_DBFS, 10 * math.log10(total / samples / (FULL_SCALE * FULL_SCALE)))


def level_dbfs(pcm: bytes) -> float:
    """The RMS level of s16le samples."""
    return dbfs(energy(pcm), len(pcm) // 2)


def amplitude(level: float) -> float:
    """The amplitude, in units of s16, of a sine with this RMS level in dBFS."""
    return math.sqrt(2) * FULL_SCALE * 10 ** (level / 20)
