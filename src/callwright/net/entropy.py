"""Randomness enters the house here, as a callable: how many octets in, that many octets out."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

Entropy = Callable[[int], bytes]


def system_entropy(n: int) -> bytes:
    """n octets from the operating system, fit for keys, tags, branches and nonces."""
    return os.urandom(n)


def seeded_entropy(seed: int | str | bytes) -> Entropy:
    """A source that gives the same octets for the same seed. For tests and simulations only."""
    return random.Random(seed).randbytes


def uniform(entropy: Entropy, below: int) -> int:
    """An integer in [0, below), each as likely as any other (by rejection, so without bias).

    Raises ValueError when `below` is not positive.
    """
    if below <= 0:
        raise ValueError("below must be positive")
    size = (below.bit_length() + 7) // 8
    limit = (256**size // below) * below
    while True:
        number = int.from_bytes(entropy(size), "big")
        if number < limit:
            return number % below


def uuid4(entropy: Entropy) -> str:
    """A UUID that tells nothing but itself (RFC 9562 section 5.4)."""
    return _uuid(4, entropy(16))


def uuid7(entropy: Entropy, wall: float) -> str:
    """A UUID that sorts by `wall`, unix seconds to the millisecond (RFC 9562 section 5.7)."""
    return _uuid(7, int(wall * 1000).to_bytes(6, "big") + entropy(10))


def as_uuid(octets: bytes) -> str:
    """16 octets as a UUID is written."""
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _uuid(version: int, octets: bytes) -> str:
    marked = bytearray(octets)
    marked[6] = marked[6] & 0x0F | version << 4
    marked[8] = marked[8] & 0x3F | 0x80
    return as_uuid(bytes(marked))
