"""Injection files: the CSV whose fields a scenario takes for each call (SIPp's `-inf`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Injection", "InjectionError", "read_injection"]

_MOST_LINES = 1_000_000
_ORDERS = ("SEQUENTIAL", "RANDOM", "USER")


class InjectionError(ValueError):
    """A file that cannot be read; the text is a sentence with its line."""


@dataclass(frozen=True, slots=True)
class Injection:
    """`name`: of the file, as [field0 file="…"] says it. `rows`: fields of each line."""

    name: str
    order: str
    rows: tuple[tuple[str, ...], ...]

    def line_for(self, call: int, below: Callable[[int], int]) -> int:
        """The line of a call, which counts from 1. `below(n)`: a number from 0 to n - 1 by chance."""
        if self.order == "RANDOM":
            return below(len(self.rows))
        return (call - 1) % len(self.rows)

    def field(self, line: int, number: int) -> str:
        """ "" for a field that a line does not have, as in SIPp."""
        row = self.rows[line % len(self.rows)]
        return row[number] if number < len(row) else ""


def read_injection(name: str, text: str) -> Injection:
    """The first line says in which order lines are taken; fields are divided by semicolons, and "\\;" is one.

    Raises InjectionError.
    """
    lines = text.splitlines()
    first = lines[0].partition(",")[0].strip().upper() if lines else ""
    if first not in _ORDERS:
        raise InjectionError(f"line 1: It is SEQUENTIAL, RANDOM or USER, not {first[:40]!r}.")
    if "PRINTF" in lines[0].upper():
        raise InjectionError("line 1: PRINTF is not done here: write the lines out.")
    rows = tuple(
        tuple(part.replace("\0", ";") for part in line.replace("\\;", "\0").split(";"))
        for line in lines[1:]
        if line.strip() and not line.startswith("#")
    )
    if not rows:
        raise InjectionError("line 2: There is no line of fields.")
    if len(rows) > _MOST_LINES:
        raise InjectionError(f"It has more than {_MOST_LINES:,} lines.")
    return Injection(name, first, rows)
