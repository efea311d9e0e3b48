"""What would let a refused thing through, as a value: whoever shows it words it for its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Remedy", "RemedyKind", "Worded"]


class RemedyKind(StrEnum):
    PERMIT_PLACE = "permit_place"  # a rule for `place`
    PERMIT_NUMBER = "permit_number"  # a rule for `number` at `place`
    TYPE_PLACE = "type_place"  # the person who gives the command types `place` itself
    CORRECT_PORT = "correct_port"
    CORRECT_PEER = "correct_peer"  # the peer writes another address into its messages


@dataclass(frozen=True, slots=True)
class Remedy:
    """``place``: a host or a numeric address; ``number``: as dialled. Empty where the kind has none."""

    kind: RemedyKind
    place: str = ""
    number: str = ""


Worded = Callable[[Remedy], str]
"""A sentence for a reader."""
