"""Messages that are packed: what does not fit, and what a hostile sender makes."""

from __future__ import annotations

import zlib

import pytest

from callwright.dispatch.packing import MOST, TooLarge, packed, unpacked


def test_a_text_is_packed_and_unpacked() -> None:
    text = b"alice " * 1_000
    assert unpacked(packed(text, 200)) == text


@pytest.mark.parametrize(
    "data",
    [b"", b"plain", zlib.compress(b"x" * 1_000)[:-5], zlib.compress(bytes(MOST + 1))],
    ids=["nothing", "not packed", "cut off", "a bomb"],
)
def test_what_is_no_packed_message_is_refused(data: bytes) -> None:
    with pytest.raises(TooLarge):
        unpacked(data)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TooLarge, match="6,000 octets"):
        packed(b"alice " * 1_000, 20)
