"""The numbers of a load: counted by the loops, added up over cores, told apart by second. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from callwright.generator.names import BUCKETS, COUNTERS, HISTOGRAMS, OUTCOMES, bucket_value, mos_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.uint64]

#: Counters that stand for themselves and are not added up from second to second.
GAUGES = frozenset({"active", "peak", "streams", "streams_peak", "retry_after_max", "latest_us"})
_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_SUCCESSES = ("answered", "canceled")
RESPONSE_TIMES = ("pdd", "setup", "bye", "register")


@lru_cache(maxsize=1)
def _values() -> Counts:
    """What a value of each bucket is taken for: the middle."""
    import numpy as np

    low = [bucket_value(index) for index in range(BUCKETS + 1)]
    return np.array([(low[i] + low[i + 1] - 1) // 2 for i in range(BUCKETS)], dtype=np.uint64)


@lru_cache(maxsize=1)
def _mos_values() -> Counts:
    import numpy as np

    return np.array([mos_value(index) for index in range(BUCKETS)], dtype=np.uint64)


class Histogram:
    """Counts in log-linear buckets, within 0.8 % of each value; MOS in exact thousandths."""

    __slots__ = ("_values", "counts")

    def __init__(self, counts: Counts, values: Counts | None = None) -> None:
        self.counts = counts
        self._values = _values() if values is None else values

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float | None:
        """The value that so many percent do not exceed; None without any."""
        import numpy as np

        total = self.total
        if not total:
            return None
        rank = max(1, math.ceil(total * percent / 100))
        return float(self._values[int(np.searchsorted(np.cumsum(self.counts), rank))])

    @property
    def mean(self) -> float | None:
        total = self.total
        return float((self.counts * self._values).sum()) / total if total else None

    def bars(self, edges: Sequence[float]) -> list[int]:
        """How many lie in [edge, next edge), the last without end."""
        values = self._values
        bounds = [*edges, math.inf]
        return [
            int(self.counts[(values >= bounds[i]) & (values < bounds[i + 1])].sum())
            for i in range(len(edges))
        ]


@dataclass(slots=True)
class Snapshot:
    """All numbers of one loop, or of several, at one time or between two times."""

    counters: list[int] = field(default_factory=lambda: [0] * len(COUNTERS))
    codes: Counter[int] = field(default_factory=Counter)
    histograms: Counts | None = None
    """HISTOGRAMS x BUCKETS."""

    @staticmethod
    def of(counters: Sequence[int], codes: Mapping[int, int], histograms: bytes) -> Snapshot:
        import numpy as np

        counts = np.frombuffer(histograms, dtype=np.uint64).reshape(len(HISTOGRAMS), BUCKETS)
        return Snapshot(list(counters), Counter(dict(codes)), counts)

    def __getitem__(self, name: str) -> int:
        return self.counters[_INDEX[name]]

    def histogram(self, name: str) -> Histogram:
        import numpy as np

        if self.histograms is None:
            return Histogram(np.zeros(BUCKETS, dtype=np.uint64))
        values = _mos_values() if name == "mos" else None
        return Histogram(self.histograms[HISTOGRAMS.index(name)], values)

    def minus(self, before: Snapshot | None) -> Snapshot:
        """What happened since `before`; gauges stay as they are."""
        if before is None:
            return self
        counters = [
            now if name in GAUGES else now - then
            for name, now, then in zip(COUNTERS, self.counters, before.counters, strict=True)
        ]
        histograms = self.histograms
        if histograms is not None and before.histograms is not None:
            histograms = histograms - before.histograms
        return Snapshot(counters, self.codes - before.codes, histograms)

    def left(self) -> Snapshot:
        """As a loop that is gone leaves it: nothing is under way there any more."""
        over = ("active", "streams")
        counters = [0 if name in over else n for name, n in zip(COUNTERS, self.counters, strict=True)]
        return Snapshot(counters, self.codes, self.histograms)

    def plus(self, other: Snapshot) -> Snapshot:
        """Both together: of two cores, or of two times."""
        counters = [
            max(a, b) if name in ("retry_after_max", "latest_us") else a + b
            for name, a, b in zip(COUNTERS, self.counters, other.counters, strict=True)
        ]
        histograms = self.histograms
        if other.histograms is not None:
            histograms = other.histograms if histograms is None else histograms + other.histograms
        return Snapshot(counters, self.codes + other.codes, histograms)

    # -- what is said of it

    @property
    def failures(self) -> dict[str, int]:
        """Failed calls by class: a status code, or one of OUTCOMES; the most frequent first."""
        found = {name: self[name] for name in OUTCOMES if name not in (*_SUCCESSES, "status") and self[name]}
        found |= {str(code): n for code, n in self.codes.items() if n}
        rest = self["status"] - sum(self.codes.values())
        if rest > 0:
            found["other status"] = rest
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def failed(self) -> int:
        return sum(self[name] for name in OUTCOMES if name not in _SUCCESSES)

    @property
    def ended(self) -> int:
        return sum(self[name] for name in OUTCOMES)

    @property
    def missing(self) -> int:
        """Calls that are neither answered, failed nor canceled; 0 once all have ended."""
        return self["attempted"] - self.ended

    @property
    def asr(self) -> float | None:
        """Answer-seizure ratio in percent: answered of those that have ended and were not canceled by us."""
        judged = self.ended - self["canceled"]
        return 100.0 * self["answered"] / judged if judged else None


def together(snapshots: Iterable[Snapshot]) -> Snapshot:
    total = Snapshot()
    for snapshot in snapshots:
        total = total.plus(snapshot)
    return total


@dataclass(frozen=True, slots=True)
class LostProcess:
    """A process of a load that died: what it did after it was counted last nobody knows."""

    process: int
    """Which one, from 1."""
    reason: str
    noticed_at: float
    """Seconds from the beginning, as `counted_until`."""
    counted_until: float
    calls_open: int
    """Calls that had not ended when it was counted last."""


@dataclass(frozen=True, slots=True)
class LoadSecond:
    """A second of a load, as it stands in the CSV. Times in ms, None where nothing was measured."""

    at: float
    """Seconds from the beginning to its end."""
    span: float
    target_rate: float
    attempted: int
    answered: int
    failed: int
    canceled: int
    active: int
    rate: float
    """Calls placed per second."""
    pdd_p50: float | None
    pdd_p95: float | None
    pdd_p99: float | None
    setup_p95: float | None
    bye_p95: float | None
    register_p95: float | None
    mos_p5: float | None
    streams: int
    rtp_sent: int
    rtp_received: int
    rtp_lost: int
    resent: int
    repeated: int
    lateness_p99: float | None
    """Scheduling error: how long after its time a call was placed."""
    lateness_max: float
    rtp_lateness_p99: float | None
    """How long after its time an RTP packet was sent."""
    drops: int
    """Datagrams that the kernel dropped for want of buffer."""
    send_errors: int
    cpu: float
    """Of a core, by the busiest loop; 1 is all of it."""
    limited: str
    """Why the generator was the bottleneck; empty when it was not."""

    @classmethod
    def columns(cls) -> list[str]:
        """The head of the CSV."""
        return [part.name for part in fields(cls)]

    def row(self) -> list[Any]:
        return [_short(getattr(self, name)) for name in self.columns()]


def _short(value: Any) -> Any:
    if value is None:
        return ""
    return round(value, 3) if isinstance(value, float) else value


SATURATED = 0.97
"""Of a core: a loop that is this busy has no time to be punctual."""
LATE_MS = 100.0
"""Scheduling error at the 99th percentile from which the load is not the one that was asked for."""
RTP_LATE_MS = 10.0


def why_limited(
    delta: Snapshot, *, span: float, cpu: float, latest_ms: float, rtp_p99_ms: float | None = None
) -> str:
    """Why the generator itself was the bottleneck of these seconds, empty when it was not."""
    reasons = []
    if delta["drops"] + delta["media_drops"]:
        reasons.append(f"{delta['drops'] + delta['media_drops']} datagrams dropped by our sockets")
    if delta["send_errors"]:
        reasons.append(f"{delta['send_errors']} datagrams could not be sent")
    lateness = delta.histogram("lateness").percentile(99)
    if lateness is not None and lateness > 1000 * LATE_MS:
        reasons.append(f"calls were placed up to {latest_ms:.0f} ms late")
    if cpu >= SATURATED:
        reasons.append(f"a loop used {100 * cpu:.0f} % of its core")
    if rtp_p99_ms is not None and rtp_p99_ms > RTP_LATE_MS:
        reasons.append(f"RTP was sent {rtp_p99_ms:.0f} ms late")
    return "; ".join(reasons)


def second_of(
    delta: Snapshot, *, at: float, span: float, target_rate: float, cpu: float, latest_ms: float
) -> LoadSecond:
    """One line from what happened in the second."""

    def ms(name: str, percent: float) -> float | None:
        value = delta.histogram(name).percentile(percent)
        return None if value is None else value / 1000

    rtp_late = ms("rtp_lateness", 99)
    return LoadSecond(
        at=at,
        span=span,
        target_rate=target_rate,
        attempted=delta["attempted"],
        answered=delta["answered"],
        failed=delta.failed,
        canceled=delta["canceled"],
        active=delta["active"],
        rate=delta["attempted"] / span if span > 0 else 0.0,
        pdd_p50=ms("pdd", 50),
        pdd_p95=ms("pdd", 95),
        pdd_p99=ms("pdd", 99),
        setup_p95=ms("setup", 95),
        bye_p95=ms("bye", 95),
        register_p95=ms("register", 95),
        mos_p5=ms("mos", 5),
        streams=delta["streams"],
        rtp_sent=delta["rtp_sent"],
        rtp_received=delta["rtp_received"],
        rtp_lost=delta["rtp_lost"],
        resent=delta["resent"],
        repeated=delta["repeated"],
        lateness_p99=ms("lateness", 99),
        lateness_max=latest_ms,
        rtp_lateness_p99=rtp_late,
        drops=delta["drops"] + delta["media_drops"],
        send_errors=delta["send_errors"],
        cpu=cpu,
        limited=why_limited(delta, span=span, cpu=cpu, latest_ms=latest_ms, rtp_p99_ms=rtp_late),
    )
