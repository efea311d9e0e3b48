"""What a load generator says of itself, second by second, told once with its range."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_FIGURE = re.compile(r"\d+(?:\.\d+)?")


def ranged(sentences: Iterable[str]) -> list[str]:
    """Sentences that differ in their figures alone become one, with the least and the most of each figure:
    "RTP was sent 11 to 123 ms late". In order of first appearance; "a; b" counts as two sentences.
    """
    alike: dict[str, list[list[str]]] = {}
    for text in sentences:
        for sentence in filter(None, map(str.strip, text.split(";"))):
            alike.setdefault(_FIGURE.sub("\0", sentence), []).append(_FIGURE.findall(sentence))
    return [_joined(shape.split("\0"), rows) for shape, rows in alike.items()]


def _joined(pieces: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    told = pieces[0]
    for column, piece in zip(zip(*rows, strict=True), pieces[1:], strict=True):
        least, most = min(column, key=float), max(column, key=float)
        told += most if least == most or told.endswith("up to ") else f"{least} to {most}"
        told += piece
    return told
