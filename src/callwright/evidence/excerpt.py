"""A ladder cut for a reader: the messages that tell of a call, and two runs row beside row. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from callwright.evidence.ladder import Ladder, MessageRow, Row, StreamRow

MOST = 14
"""Rows of an excerpt."""
_CHALLENGES = frozenset({401, 407})
_AROUND = frozenset({"ACK", "PRACK", "REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY", "PUBLISH"})


def excerpt(ladder: Ladder) -> list[Row]:
    """What the caller of the first call sent or waited for, every INVITE, and every stream.

    Left out: 100, ACK, registrations, repeats, and an INVITE that was challenged with its challenge. A
    message at fault is never left out.
    """
    invites = [m for m in ladder.messages if m.label == "INVITE"]
    if not invites:
        return []
    caller = invites[0].source
    challenged = {(m.call_id, m.cseq) for m in ladder.messages if m.status in _CHALLENGES}
    found: list[Row] = [
        row
        for row in ladder.rows
        if isinstance(row, StreamRow)
        or (isinstance(row, MessageRow) and (row.trouble or _tells(row, caller, challenged)))
    ]
    return found[:MOST]


def _tells(row: MessageRow, caller: int, challenged: set[tuple[str, str]]) -> bool:
    if row.repeat_of is not None or row.status == 100 or row.method in _AROUND:
        return False
    if (row.call_id, row.cseq) in challenged:
        return False
    return row.label == "INVITE" or caller in (row.source, row.destination)


@dataclass(frozen=True, slots=True)
class Beside:
    """A row of the earlier run and the row of the later one that stands beside it; None: it has none."""

    before: MessageRow | StreamRow | None
    after: MessageRow | StreamRow | None

    @property
    def differs(self) -> bool:
        """One is missing, or they say or carry something else. Times and addresses are each run's own."""
        old, new = self.before, self.after
        if isinstance(old, MessageRow) and isinstance(new, MessageRow):
            carried = [row.media.codecs if row.media is not None else None for row in (old, new)]
            return (old.label, old.lost) != (new.label, new.lost) or carried[0] != carried[1]
        if isinstance(old, StreamRow) and isinstance(new, StreamRow):
            return (old.codec, old.out_of_reach) != (new.codec, new.out_of_reach)
        return True


_Key = tuple[str, str, str]
"""Who sends, who gets it, what it is."""


def beside(before: Ladder, after: Ladder) -> list[Beside]:
    """Both ladders in their own order, with the same message at the same height. Gaps are left out.

    Streams are matched by their ways alone: which of two begins first is chance. A pair of them comes after
    all that preceded it in either run.
    """
    old, new = _keyed(before), _keyed(after)
    found: list[Beside] = []
    matcher = SequenceMatcher(None, [key for key, _ in old], [key for key, _ in new], autojunk=False)
    for what, i1, i2, j1, j2 in matcher.get_opcodes():
        if what == "equal":
            found += [Beside(one, two) for (_, one), (_, two) in zip(old[i1:i2], new[j1:j2], strict=True)]
        else:
            found += _instead(old[i1:i2], new[j1:j2])
    for pair in _streams(before, after):
        found.insert(_place(found, pair), pair)
    return found


def _keyed(ladder: Ladder) -> list[tuple[_Key, MessageRow]]:
    """An answer is known by what it answers: that to a re-INVITE is not that to the INVITE."""
    names = [party.name for party in ladder.parties]
    asked = {(m.call_id, m.cseq): m.label for m in ladder.messages if m.status is None}

    def what(row: MessageRow) -> str:
        if row.status is None:
            return row.label
        return f"{row.status} to {asked.get((row.call_id, row.cseq), row.method)}"

    return [((names[row.source], names[row.destination], what(row)), row) for row in ladder.messages]


def _streams(before: Ladder, after: Ladder) -> list[Beside]:
    ways: dict[tuple[str, str], tuple[list[StreamRow], list[StreamRow]]] = {}
    for n, ladder in enumerate((before, after)):
        names = [party.name for party in ladder.parties]
        for row in ladder.streams:
            ways.setdefault((names[row.source], names[row.destination]), ([], []))[n].append(row)
    pairs = [Beside(*pair) for old, new in ways.values() for pair in zip_longest(old, new)]
    return sorted(pairs, key=lambda pair: max(row.at for row in (pair.before, pair.after) if row is not None))


def _place(rows: Sequence[Beside], pair: Beside) -> int:
    """Behind the last row that begins before it in either run."""
    place = 0
    for n, row in enumerate(rows, 1):
        for there, stream in ((row.before, pair.before), (row.after, pair.after)):
            if there is not None and stream is not None and there.at <= stream.at:
                place = n
    return place


def _instead(
    old: Sequence[tuple[_Key, MessageRow]], new: Sequence[tuple[_Key, MessageRow]]
) -> Iterable[Beside]:
    """Where the runs part: an answer stands beside another answer to the same request, all else alone."""
    rest = list(new)
    for key, row in old:
        place = next((n for n, (other, _) in enumerate(rest) if _answers_alike(key, other)), None)
        if place is None:
            yield Beside(row, None)
            continue
        for _, alone in rest[:place]:
            yield Beside(None, alone)
        yield Beside(row, rest[place][1])
        del rest[: place + 1]
    for _, alone in rest:
        yield Beside(None, alone)


def _answers_alike(one: _Key, two: _Key) -> bool:
    """Both are final answers, the same way, to the same method."""
    (code, _, method), (other, _, asked) = one[2].partition(" to "), two[2].partition(" to ")
    return one[:2] == two[:2] and bool(method) and method == asked and code >= "200" and other >= "200"
