"""What the load loop without native code counts: counters, statuses, histograms, and calls worth a look."""

from __future__ import annotations

from array import array
from collections import Counter, deque

from callwright.generator.loop import (
    BUCKETS,
    COUNTERS,
    HISTOGRAMS,
    LADDER_MESSAGES,
    LADDERS,
    MOS_LEAST,
    OUTCOMES,
    CallNoted,
    Ladder,
    MessageNoted,
)

_NOTABLE = 1024
_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_HISTOGRAM = {name: index for index, name in enumerate(HISTOGRAMS)}


def _ladder(call: CallNoted, said: deque[MessageNoted]) -> Ladder:
    return Ladder(call, len(said) <= LADDER_MESSAGES, tuple(said)[-LADDER_MESSAGES:])


class Numbers:
    """The numbers of one run of a loop. Another thread reads them while the loop writes."""

    def __init__(self) -> None:
        self.slower_us = 0xFFFFFFFF
        self.worse_mos = 0
        """Thousandths: calls below it are noted."""
        self.ladders_each = 0
        self.clear()

    def clear(self) -> None:
        self._count = array("Q", bytes(8 * len(COUNTERS)))
        self._codes: dict[int, int] = {}
        self._histograms = [array("Q", bytes(8 * BUCKETS)) for _ in HISTOGRAMS]
        self._noted: list[CallNoted] = []
        self._ladders: list[Ladder] = []
        self._slowest: Ladder | None = None
        self._slowest_us = 0
        self._by_class: Counter[tuple[str, int]] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        self._count[_INDEX[name]] += by

    def get(self, name: str) -> int:
        return self._count[_INDEX[name]]

    def set(self, name: str, value: int) -> None:
        self._count[_INDEX[name]] = value

    def raise_to(self, name: str, value: int) -> None:
        self._count[_INDEX[name]] = max(self._count[_INDEX[name]], value)

    def record(self, name: str, value: float, times: int = 1) -> None:
        """Log-linear, as HdrHistogram: exact up to 255, then 128 buckets to the octave."""
        index = max(0, int(value))
        if index >= 256:
            shift = index.bit_length() - 8
            index = min(BUCKETS - 1, 128 * shift + (index >> shift))
        self._histograms[_HISTOGRAM[name]][index] += times

    def record_mos(self, mos: int) -> None:
        """`mos` in thousandths, one a bucket; the first holds all that are lower."""
        index = min(BUCKETS - 1, max(0, mos - MOS_LEAST))
        self._histograms[_HISTOGRAM["mos"]][index] += 1

    def ended(self, outcome: str, code: int) -> None:
        """One call has ended, and is no longer under way."""
        self.add(outcome)
        self.add("active", -1)
        if outcome == "status":
            self._codes[code] = self._codes.get(code, 0) + 1

    def note(
        self,
        outcome: str,
        *,
        at: float,
        number: int,
        account: int,
        code: int,
        pdd: float,
        setup: float,
        mos: int,
        said: deque[MessageNoted] | None = None,
        incoming: bool = False,
    ) -> None:
        """Keeps a call that failed, was slow or sounded bad. Times in seconds, `mos` in thousandths or -1."""
        index, pdd_us, setup_us = OUTCOMES.index(outcome), int(pdd * 1e6), int(setup * 1e6)
        call = CallNoted(at, number, account, index, code, pdd_us, setup_us, mos)
        if index > 1 or setup_us > self.slower_us or 0 <= mos < self.worse_mos:
            self._noted.append(call)
        if said is not None:
            self._keep(call, outcome, said, incoming)

    def _keep(self, call: CallNoted, outcome: str, said: deque[MessageNoted], incoming: bool) -> None:
        if call.outcome > 1:
            kind = outcome, call.code if outcome == "status" else 0
            if self._by_class[kind] < self.ladders_each and len(self._ladders) < LADDERS:
                self._by_class[kind] += 1
                self._ladders.append(_ladder(call, said))
        elif outcome == "answered" and not incoming and call.setup > self._slowest_us:
            self._slowest_us, self._slowest = call.setup, _ladder(call, said)

    # -- what is read

    def ladders(self) -> list[Ladder]:
        return [*self._ladders, *([self._slowest] if self._slowest is not None else ())]

    def counters(self) -> list[int]:
        return list(self._count)

    def take_latest(self) -> int:
        worst = self.get("latest_us")
        self.set("latest_us", 0)
        return worst

    def codes(self) -> dict[int, int]:
        return dict(self._codes)

    def histogram(self, which: int) -> bytes:
        return self._histograms[which].tobytes()

    def histograms(self) -> bytes:
        return b"".join(histogram.tobytes() for histogram in self._histograms)

    def notables(self, since: int) -> tuple[int, list[CallNoted]]:
        return len(self._noted), self._noted[max(since, len(self._noted) - _NOTABLE) :]
