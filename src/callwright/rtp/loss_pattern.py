"""Good and bad packets in order of sequence number, kept as run lengths so that a call of hours stays
small."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from callwright.rtp.report import LossPattern

MAX_RUNS = 100_000

# What is known of one sequence number: nothing, or RECEIVED and one bit for each buffer that discarded it.
MISSING = 0
RECEIVED = 1
MAX_BUFFERS = 7
_ALL_GOOD = bytes([RECEIVED])

_SIZE = 2048  # sequence numbers not yet settled; a power of two
_MASK = _SIZE - 1
_RUN = re.compile(rb"\x00+|\x01+")


class RunLengths:
    """Grows a LossPattern run by run."""

    __slots__ = ("bad", "bad_runs", "good", "in_bad", "runs", "truncated")

    def __init__(self) -> None:
        self.runs: list[int] = [0]
        self.good = 0
        self.bad = 0
        self.bad_runs = 0
        self.in_bad = False
        self.truncated = False

    def add(self, length: int, bad: bool) -> None:
        if length <= 0:
            return
        turned = bad != self.in_bad
        self.in_bad = bad
        if bad:
            self.bad += length
            self.bad_runs += turned
        else:
            self.good += length
        if self.truncated:
            return
        if not turned:
            self.runs[-1] += length
        elif len(self.runs) < MAX_RUNS:
            self.runs.append(length)
        else:
            self.truncated = True

    def copy(self) -> RunLengths:
        other = RunLengths()
        other.runs = self.runs.copy()
        other.good, other.bad, other.bad_runs = self.good, self.bad, self.bad_runs
        other.in_bad, other.truncated = self.in_bad, self.truncated
        return other

    def pattern(self) -> LossPattern:
        return LossPattern(tuple(self.runs), self.good, self.bad, self.bad_runs, self.truncated)


@cache
def tables(buffers: int) -> tuple[bytes, ...]:
    """For the network and for each buffer, mark to 0 (good) or 1, for `bytes.translate`."""
    wanted = [RECEIVED] + [RECEIVED | 2 << index for index in range(buffers)]
    # A mark is good for a buffer when RECEIVED is set and the buffer's own bit is not.
    return tuple(bytes(0 if mark & mask == RECEIVED else 1 for mark in range(256)) for mask in wanted)


def record(chunk: bytes, patterns: Sequence[RunLengths], tables: Sequence[bytes]) -> None:
    """Adds marks, in order of their numbers, to each pattern by its table."""
    if chunk.count(_ALL_GOOD) == len(chunk):
        for pattern in patterns:
            pattern.add(len(chunk), False)
        return
    for pattern, table in zip(patterns, tables, strict=True):
        badness = chunk.translate(table)
        for run in _RUN.finditer(badness):
            pattern.add(run.end() - run.start(), badness[run.start()] == 1)


class Ledger:
    """What became of each sequence number: one pattern for the network and one for each of `buffers` buffers.

    Numbers are extended ones. The newest are held open, since a packet may still come late; the rest is
    settled into run lengths. `mark` takes only numbers that `open_to` let in.
    """

    __slots__ = ("_first", "_highest", "_marks", "_patterns", "_settled", "_tables")

    def __init__(self, buffers: int) -> None:
        if not 0 <= buffers <= MAX_BUFFERS:
            raise ValueError(f"{buffers} buffers; at most {MAX_BUFFERS} are told apart")
        self._marks = bytearray(_SIZE)
        self._first = 0
        self._settled = 0
        self._highest = -1
        self._patterns = [RunLengths() for _ in range(buffers + 1)]
        self._tables = tables(buffers)

    def begin(self, first: int) -> None:
        """A new run of sequence numbers, of which `first` is the first; what came before is settled."""
        self._settle(self._highest + 1)
        self._first = self._settled = first
        self._highest = first - 1

    def widen(self, first: int) -> bool:
        """The run began earlier than was thought, at `first`; False when it is too late to say so."""
        if self._settled != self._first or self._highest - first >= _SIZE - 1:
            return False
        self._first = self._settled = first
        return True

    def open_to(self, number: int, window: int) -> None:
        """`number` is the highest now; no number further than `window` behind it will be marked."""
        if number - self._settled >= _SIZE - 1:
            keep = number - window
            self._settle(min(keep, self._highest + 1))
            if self._settled < keep:  # a leap over the whole window: nobody came
                for pattern in self._patterns:
                    pattern.add(keep - self._settled, True)
                self._settled = keep
        self._highest = number

    def mark(self, number: int, mark: int) -> None:
        self._marks[number & _MASK] = mark

    def seen(self, number: int) -> bool:
        return number < self._settled or self._marks[number & _MASK] != MISSING

    def _settle(self, end: int) -> None:
        while self._settled < end:
            start = self._settled & _MASK
            stop = min(start + end - self._settled, _SIZE)
            chunk = bytes(self._marks[start:stop])
            self._marks[start:stop] = bytes(stop - start)
            self._settled += stop - start
            record(chunk, self._patterns, self._tables)

    def patterns(self) -> list[LossPattern]:
        """The network's pattern, then each buffer's, up to the highest number; open ones as they stand."""
        copies = [pattern.copy() for pattern in self._patterns]
        number = self._settled
        while number <= self._highest:
            start = number & _MASK
            stop = min(start + self._highest + 1 - number, _SIZE)
            record(bytes(self._marks[start:stop]), copies, self._tables)
            number += stop - start
        return [pattern.pattern() for pattern in copies]
