"""G.711 (ITU-T G.711, 11/1988) by tables: both laws, one octet a sample, only the standard library.

PCM is `bytes` of signed 16-bit little-endian samples. The decoder gives the quantised values of tables 1 and
2 of the Recommendation, scaled to 16 bits. The encoder compares with the decision values halfway between two
of them; the lowest two bits, which neither law can carry, are dropped first.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple


def _ulaw_value(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((((code & 0x0F) << 1) + 33) << (code >> 4 & 7)) - 33) << 2
    return -magnitude if code & 0x80 else magnitude


def _alaw_value(code: int) -> int:
    code ^= 0x55
    exponent = code >> 4 & 7
    mantissa = ((code & 0x0F) << 1) + 1
    magnitude = (mantissa + 32 << exponent - 1 if exponent else mantissa) << 3
    return magnitude if code & 0x80 else -magnitude


class Law(NamedTuple):
    """One law as tables: `values[code]` is the sample, `encode[sample & 0xFFFF]` the code."""

    values: tuple[int, ...]
    low: bytes
    """For `bytes.translate`: code to the low octet of its sample."""
    high: bytes
    """For `bytes.translate`: code to the high octet of its sample."""
    encode: bytes
    silence: int
    """The code of the smallest positive value, which G.711 sends for silence."""


def _build(value: Callable[[int], int], first_positive: int) -> Law:
    values = tuple(value(code) for code in range(256))
    # The codes of each sign in order of magnitude.
    positive = sorted(
        (c for c in range(256) if (c & 0x80) == (first_positive & 0x80)), key=values.__getitem__
    )
    negative = [code ^ 0x80 for code in positive]
    # Decision values in units of 4, between the neighbours of one sign; the last step reaches to the end.
    steps = [(values[a] + values[b] + 4) >> 3 for a, b in pairwise(positive)]
    ups = [0, *steps, 8192]
    above = b"".join(
        bytes([code]) * (4 * (hi - lo)) for code, lo, hi in zip(positive, ups, ups[1:], strict=False)
    )
    # Truncation goes towards minus infinity, so below zero the count of steps begins at one.
    downs = [1, *steps, 8193]
    below = b"".join(
        bytes([code]) * (4 * (hi - lo)) for code, lo, hi in zip(negative, downs, downs[1:], strict=False)
    )
    return Law(
        values=values,
        low=bytes(v & 0xFF for v in values),
        high=bytes(v >> 8 & 0xFF for v in values),
        encode=above + below[::-1],
        silence=first_positive,
    )


@cache
def ulaw() -> Law:
    """The µ-law tables (PCMU)."""
    return _build(_ulaw_value, 0xFF)


@cache
def alaw() -> Law:
    """The A-law tables (PCMA)."""
    return _build(_alaw_value, 0xD5)


def encode(law: Law, pcm: bytes) -> bytes:
    """One octet for each sample of `pcm` (s16le, an even number of octets)."""
    samples = array("H", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return bytes(map(law.encode.__getitem__, samples))


def decode(law: Law, payload: bytes) -> bytes:
    """s16le samples, two octets for each octet of `payload`."""
    pcm = bytearray(2 * len(payload))
    pcm[0::2] = payload.translate(law.low)
    pcm[1::2] = payload.translate(law.high)
    return bytes(pcm)
