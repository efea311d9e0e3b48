"""What differs between two texts, and the changes of two people made into one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_AROUND = 3  # unchanged lines that are shown on either side of a change
_MARK = re.compile(r"^(<<<<<<< \d+: |=======$|>>>>>>> \d+: )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """One row of a difference. ``kind``: same, gone, new, or skipped. Numbers count from 1."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None

    @property
    def sign(self) -> str:
        return {"gone": "\N{MINUS SIGN}", "new": "+"}.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Collision:
    """A place that both changed, each in another way. ``number`` counts from 1, as in the markers."""

    number: int
    mine: str
    theirs: str
    line: int
    """Of its first marker in the merged text, from 1."""


@dataclass(frozen=True, slots=True)
class Merge:
    """``text`` holds markers where there are collisions, so that it cannot be saved unseen."""

    text: str
    collisions: tuple[Collision, ...] = ()


def difference(old: str, new: str) -> list[ChangedLine]:
    """The lines that differ with some around them; nothing when the texts are equal."""
    before, after = old.splitlines(), new.splitlines()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    found: list[ChangedLine] = []
    groups = list(matcher.get_grouped_opcodes(_AROUND))
    at = 0
    for group in groups:
        if group[0][1] > at:
            found.append(ChangedLine("skipped", _lines(group[0][1] - at)))
        for tag, a0, a1, b0, b1 in group:
            if tag == "equal":
                found += [ChangedLine("same", before[a], a + 1, b0 + a - a0 + 1) for a in range(a0, a1)]
            else:
                found += [ChangedLine("gone", before[a], a + 1) for a in range(a0, a1)]
                found += [ChangedLine("new", after[b], None, b + 1) for b in range(b0, b1)]
        at = group[-1][2]
    if groups and at < len(before):
        found.append(ChangedLine("skipped", _lines(len(before) - at)))
    return found


def merge(base: str, mine: str, theirs: str, *, their_name: str) -> Merge:
    """Both changes of ``base`` in one text. Where both changed the same lines, markers hold both sides."""
    b, m, t = (text.splitlines() for text in (base, mine, theirs))
    out: list[str] = []
    collisions: list[Collision] = []
    for b_lines, m_lines, t_lines in _regions(b, m, t):
        if m_lines == t_lines or t_lines == b_lines:
            out += m_lines
        elif m_lines == b_lines:
            out += t_lines
        else:
            number = len(collisions) + 1
            collisions.append(Collision(number, "\n".join(m_lines), "\n".join(t_lines), len(out) + 1))
            out += [f"<<<<<<< {number}: yours", *m_lines, "=======", *t_lines]
            out.append(f">>>>>>> {number}: {their_name}")
    return Merge("\n".join(out) + ("\n" if out else ""), tuple(collisions))


def unresolved(text: str) -> int | None:
    """The first line that still holds a marker of `merge`, from 1; None when there is none."""
    found = _MARK.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _lines(count: int) -> str:
    return f"{count} unchanged line{'' if count == 1 else 's'}"


def _regions(
    base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """The three texts cut at the lines that all three have in common."""
    at_b = at_m = at_t = 0
    for b, m, t, length in [*_common(base, mine, theirs), (len(base), len(mine), len(theirs), 0)]:
        if (b, m, t) != (at_b, at_m, at_t):
            yield list(base[at_b:b]), list(mine[at_m:m]), list(theirs[at_t:t])
        if length:
            same = list(base[b : b + length])
            yield same, same, same
        at_b, at_m, at_t = b + length, m + length, t + length


def _common(
    base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[int, int, int, int]]:
    """Where base, mine and theirs have the same lines, and how many."""
    in_mine = SequenceMatcher(None, base, mine, autojunk=False).get_matching_blocks()
    in_theirs = SequenceMatcher(None, base, theirs, autojunk=False).get_matching_blocks()
    i = j = 0
    while i < len(in_mine) and j < len(in_theirs):
        (a, m, m_length), (c, t, t_length) = in_mine[i], in_theirs[j]
        start, end = max(a, c), min(a + m_length, c + t_length)
        if start < end:
            yield start, m + start - a, t + start - c, end - start
        if a + m_length < c + t_length:
            i += 1
        else:
            j += 1
