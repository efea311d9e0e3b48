"""Counts second by second, and our own error against the schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callwright.rtp.report import SchedulingError, StreamSecond

MAX_SECONDS = 86_400  # a day; later seconds are in the sums only


def second_rows(
    packets: Sequence[int], lost: Sequence[int], discarded: Sequence[int], jitter: Sequence[float | None]
) -> tuple[StreamSecond, ...]:
    """Columns, of which each has one value for each second, as rows; jitter in seconds."""
    return tuple(
        StreamSecond(index, count, missing, refused, None if largest is None else 1000.0 * largest)
        for index, (count, missing, refused, largest) in enumerate(
            zip(packets, lost, discarded, jitter, strict=True)
        )
    )


def sent_rows(packets: Sequence[int], reported: Mapping[int, tuple[int, float]]) -> tuple[StreamSecond, ...]:
    """As `SecondSeries.sent`."""
    seconds = []
    length = max(len(packets), max(reported, default=-1) + 1)
    for index in range(min(length, MAX_SECONDS)):
        lost, jitter = reported.get(index, (None, None))
        seconds.append(StreamSecond(index, packets[index] if index < len(packets) else 0, lost, None, jitter))
    return tuple(seconds)


class SecondSeries:
    """Packets, losses, discards and jitter of each second since `origin`.

    A loss belongs to the second in which a later packet showed it, and is taken back when the packet comes
    after all.
    """

    __slots__ = ("_discarded", "_end", "_index", "_jitter", "_lost", "_origin", "_packets")

    def __init__(self) -> None:
        self._origin: float | None = None
        self._index = -1
        self._end = float("-inf")  # of the present second
        self._packets: list[int] = []
        self._lost: list[int] = []
        self._discarded: list[int] = []
        self._jitter: list[float | None] = []

    def begin(self, origin: float) -> None:
        if self._origin is None:
            self._origin = origin
            self._roll(0)

    def _advance(self, now: float) -> None:
        if self._origin is None:
            self.begin(now)
        elif self._index < MAX_SECONDS - 1:
            self._roll(min(int(now - self._origin), MAX_SECONDS - 1))

    def _roll(self, index: int) -> None:
        missing = index + 1 - len(self._packets)
        if missing > 0:
            self._packets.extend([0] * missing)
            self._lost.extend([0] * missing)
            self._discarded.extend([0] * missing)
            self._jitter.extend([None] * missing)
        self._index = index
        self._end = (self._origin or 0.0) + index + 1.0

    def packet(self, now: float) -> None:
        if now >= self._end:
            self._advance(now)
            if self._index == MAX_SECONDS - 1 and now >= self._end:
                return
        self._packets[self._index] += 1

    def lose(self, count: int) -> None:
        if self._index >= 0:
            self._lost[self._index] += count

    def find(self) -> None:
        """A packet that was counted lost has come."""
        for index in range(self._index, max(-1, self._index - 20), -1):
            if self._lost[index] > 0:
                self._lost[index] -= 1
                return

    def discard(self) -> None:
        if self._index >= 0:
            self._discarded[self._index] += 1

    def jitter(self, seconds: float) -> None:
        if self._index >= 0:
            before = self._jitter[self._index]
            if before is None or seconds > before:
                self._jitter[self._index] = seconds

    def received(self) -> tuple[StreamSecond, ...]:
        return second_rows(self._packets, self._lost, self._discarded, self._jitter)

    def sent(self, reported: dict[int, tuple[int, float]]) -> tuple[StreamSecond, ...]:
        """Ours, with (lost since the report before, jitter in ms) of the seconds in which the far end
        told."""
        return sent_rows(self._packets, reported)


class ScheduleError:
    """A histogram of actual minus scheduled send time, 10 µs a bucket up to a second."""

    __slots__ = ("_buckets", "_count", "_largest", "_sum")

    BUCKET = 1e-5
    LAST = 100_000

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0
        self._sum = 0.0
        self._largest = 0.0

    def add(self, seconds: float) -> None:
        if seconds < 0.0:
            seconds = 0.0
        self._count += 1
        self._sum += seconds
        if seconds > self._largest:
            self._largest = seconds
        bucket = int(seconds * 1e5) if seconds < 1.0 else self.LAST
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0..1) of the packets did not exceed, to the bucket's upper edge."""
        wanted = share * self._count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min((bucket + 1) * self.BUCKET, self._largest)
        return 0.0

    def report(self) -> SchedulingError:
        return SchedulingError(
            self._count,
            1000.0 * self._sum / self._count if self._count else 0.0,
            1000.0 * self.percentile(0.50),
            1000.0 * self.percentile(0.95),
            1000.0 * self.percentile(0.99),
            1000.0 * self._largest,
        )
