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
