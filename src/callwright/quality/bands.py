"""What a MOS means, in words that need no explanation."""

from __future__ import annotations

from typing import NamedTuple


class Band(NamedTuple):
    """A range of MOS and what a caller would say."""

    name: str
    lowest: float
    """The least MOS of this band."""
    sentence: str


BANDS: tuple[Band, ...] = (
    Band("Excellent", 4.3, "Every word is clear and nobody thinks about the line."),
    Band("Good", 4.0, "Clear; a listener who pays attention hears that it is a telephone line."),
    Band("Fair", 3.6, "Understood without trouble, but the flaws are heard and some callers mention them."),
    Band("Poor", 3.1, "It takes effort to follow, and many callers complain."),
    Band("Bad", 1.0, "Words are lost, and most callers give up."),
)


def band(mos: float) -> Band:
    """The band of `mos`, on the scale it was made for."""
    return next((entry for entry in BANDS if mos >= entry.lowest), BANDS[-1])
