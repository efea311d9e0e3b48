"""Headers that somebody wants otherwise than a request has them: replaced, repeated or left out on the wire,
while the request that the endpoint goes on with stays right.

    Edits.of([("Via", "SIP/2.0/UDP 192.0.2.9;branch=x"), ("-User-Agent", "")])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from callwright.sip.headers import header_key

__all__ = ["NO_EDITS", "Edits", "is_removal"]

_WIRE = frozenset({"via", "from", "to", "call-id", "cseq", "route", "content-length"})
"""What ties a request to its answers, or is made with it: only the wire may have it otherwise."""


def is_removal(name: str) -> bool:
    """`-Name` leaves that header out."""
    return name.startswith("-") and len(name) > 1


@dataclass(frozen=True, slots=True)
class Edits:
    """`replaced`: (name, value) in order, in place of all of that name; `removed`: keys of headers."""

    replaced: tuple[tuple[str, str], ...] = ()
    removed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, headers: Iterable[tuple[str, str]]) -> Edits:
        """Those of a user's headers that are edits; the others are added."""
        pairs = list(headers)
        removed = frozenset(header_key(name[1:]) for name, _ in pairs if is_removal(name))
        replaced = tuple((name, value) for name, value in pairs if header_key(name) in _WIRE)
        return cls(replaced, removed) if removed or replaced else NO_EDITS

    @staticmethod
    def others(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers that are no edits."""
        return [pair for pair in headers if not is_removal(pair[0]) and header_key(pair[0]) not in _WIRE]

    def lines(self, lines: list[str]) -> list[str]:
        """The lines of a header, start line first, as they go out."""
        wanted: dict[str, list[str]] = {}
        for name, value in self.replaced:
            wanted.setdefault(header_key(name), []).append(f"{name}: {value}")
        out = lines[:1]
        for line in lines[1:]:
            key = header_key(line.partition(":")[0])
            if key in self.removed:
                continue
            if key in wanted:
                out += [_tagged(key, one, line) for one in wanted.pop(key)]
            elif key not in {header_key(name) for name, _ in self.replaced}:
                out.append(line)
        return out + [one for rest in wanted.values() for one in rest]


def _tagged(key: str, line: str, ours: str) -> str:
    """From keeps our tag unless it brings one: without it no answer could be told from a stranger's."""
    if key != "from" or ";tag=" in line.lower():
        return line
    _, tag, value = ours.partition(";tag=")
    return f"{line}{tag}{value}"


NO_EDITS = Edits()
