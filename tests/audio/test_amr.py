"""Payloads of AMR (RFC 4867)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.audio.amr import AMR_BITS, AMR_WB_BITS, UnreadablePayload, frames, payload


def packed(made: list[bytes], bits: tuple[int, ...]) -> bytes:
    """Bandwidth-efficient, written down as section 4.3 has it: a text of bits."""
    kinds = [frame[0] >> 3 & 0x0F for frame in made]
    text = "1111"
    for at, kind in enumerate(kinds):
        text += f"{int(at < len(made) - 1)}{kind:04b}1"
    for kind, frame in zip(kinds, made, strict=True):
        text += "".join(f"{octet:08b}" for octet in frame[1:])[: bits[kind]]
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@st.composite
def made_frames(draw: st.DrawFn, bits: tuple[int, ...]) -> list[bytes]:
    found = []
    for kind in draw(st.lists(st.integers(0, len(bits) - 1), min_size=1, max_size=4)):
        octets = (bits[kind] + 7) // 8
        data = bytearray(draw(st.binary(min_size=octets, max_size=octets)))
        data[-1] &= 0xFF << (octets * 8 - bits[kind]) & 0xFF  # filled up with zeros
        found.append(bytes([kind << 3 | 4]) + bytes(data))
    return found


@pytest.mark.parametrize("bits", [AMR_BITS, AMR_WB_BITS])
def test_a_payload_of_ours_is_read_again(bits: tuple[int, ...]) -> None:
    for kind, size in enumerate(bits):
        frame = bytes([kind << 3 | 4]) + bytes((size + 7) // 8)
        assert frames(payload(frame), bits) == [frame]


@given(made_frames(AMR_BITS))
def test_the_bandwidth_efficient_kind_is_read(made: list[bytes]) -> None:
    assert frames(packed(made, AMR_BITS), AMR_BITS) == made


@given(st.binary(max_size=200))
def test_any_octets_are_frames_or_unreadable(data: bytes) -> None:
    for bits in (AMR_BITS, AMR_WB_BITS):
        try:
            found = frames(data, bits)
        except UnreadablePayload:
            continue
        assert 1 <= len(found) <= 12
