"""Messages that are larger than a broker takes: their texts are packed, by many times as a rule. Results and
files are cut into pieces before (`messages.wire.CHUNK_BYTES`), and need it not."""

from __future__ import annotations

import zlib

__all__ = ["MARK", "MOST", "TooLarge", "packed", "unpacked"]

MARK = {"Callwright-Packed": "zlib"}
"""The header of a packed message."""
MOST = 64 * 1024 * 1024
"""Octets of an unpacked message at most."""


class TooLarge(ValueError):
    """The text is a sentence."""


def packed(data: bytes, room: int) -> bytes:
    """Raises TooLarge when it does not fit into so many octets."""
    smaller = zlib.compress(data, 6) if len(data) <= MOST else data
    if len(smaller) > room:
        raise TooLarge(f"a message of {len(data):,} octets is more than the broker takes ({room:,})")
    return smaller


def unpacked(data: bytes) -> bytes:
    """Whoever sent it is not trusted. Raises TooLarge, also for what is no packed message."""
    reader = zlib.decompressobj()
    try:
        whole = reader.decompress(data, MOST)
    except zlib.error as error:
        raise TooLarge(f"a packed message cannot be read: {error}") from None
    if reader.unconsumed_tail or not reader.eof:
        raise TooLarge(f"a packed message is cut off, or more than {MOST:,} octets")
    return whole
