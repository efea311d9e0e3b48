"""Which packets were lost, as the numbers that the E-model and RFC 3611 want.

A pattern is one value for each packet expected, in order: true (or 1) where it was lost or discarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GMIN = 16
"""RFC 3611 section 4.7.2: so many packets received in a row end a burst."""


@dataclass(frozen=True, slots=True)
class LossPattern:
    """Loss of one stream, summed up."""

    packets: int
    lost: int
    runs: int
    """Number of runs of consecutive losses."""
    ppl: float
    """Loss in percent."""
    mean_run: float
    """Mean length of a run; 0 without loss."""
    burst_r: float
    """G.107 burst ratio: mean run over the mean run that random loss of the same rate would have; at
    least 1.
    """


@dataclass(frozen=True, slots=True)
class BurstsAndGaps:
    """The burst metrics of RFC 3611 section 4.7.2. Densities are fractions, lengths are in packets."""

    bursts: int
    gaps: int
    burst_density: float
    gap_density: float
    mean_burst: float
    mean_gap: float

    def burst_duration_ms(self, ptime: float) -> float:
        """Mean length of a burst in ms for packets of `ptime` ms."""
        return self.mean_burst * ptime

    def gap_duration_ms(self, ptime: float) -> float:
        """Mean length of a gap in ms for packets of `ptime` ms."""
        return self.mean_gap * ptime


def loss_pattern(pattern: Iterable[int]) -> LossPattern:
    """Ppl, runs and BurstR of a pattern of losses."""
    packets = lost = runs = 0
    before = False
    for value in pattern:
        packets += 1
        if value:
            lost += 1
            if not before:
                runs += 1
        before = bool(value)
    return from_counts(packets, lost, runs)


def from_counts(packets: int, lost: int, runs: int) -> LossPattern:
    """The same from counters that somebody kept packet by packet. `ValueError` where they contradict each
    other.
    """
    if not (0 <= lost <= packets and (lost > 0) == (runs > 0) and runs <= lost):
        raise ValueError(f"{packets} packets with {lost} lost in {runs} runs cannot be")
    if not lost:
        return LossPattern(packets, 0, 0, 0.0, 0.0, 1.0)
    rate = lost / packets
    mean_run = lost / runs
    # Random loss at rate p has runs of 1 / (1 - p) on average. Evenly spread loss would come out below 1, and
    # everything lost at 0: the model knows nothing kinder than random.
    return LossPattern(packets, lost, runs, 100 * rate, mean_run, max(1.0, mean_run * (1 - rate)))


def transitions(pattern: Iterable[int]) -> tuple[float, float]:
    """(p, q) of the two-state Markov model: from received to lost, and from lost to received; 0 where
    unseen.
    """
    received = to_lost = lost = to_received = 0
    before: bool | None = None
    for value in pattern:
        now = bool(value)
        if before is True:
            lost += 1
            to_received += not now
        elif before is False:
            received += 1
            to_lost += now
        before = now
    return (to_lost / received if received else 0.0), (to_received / lost if lost else 0.0)


def bursts_and_gaps(pattern: Iterable[int], gmin: int = GMIN) -> BurstsAndGaps:
    """Bursts and gaps of RFC 3611.

    A burst begins and ends with a loss, and fewer than `gmin` packets are received in a row inside. A
    loss that has at least `gmin` received on both sides, or the end of the stream, belongs to the gap
    around it.
    """
    losses: list[int] = []
    packets = 0
    for packets, value in enumerate(pattern, 1):
        if value:
            losses.append(packets - 1)
    bursts: list[tuple[int, int, int]] = []  # first, last, losses
    start = 0
    for here in range(1, len(losses) + 1):
        if here < len(losses) and losses[here] - losses[here - 1] - 1 < gmin:
            continue
        if here - start > 1:
            bursts.append((losses[start], losses[here - 1], here - start))
        start = here
    in_bursts = sum(last - first + 1 for first, last, _ in bursts)
    lost_in_bursts = sum(count for _, _, count in bursts)
    edges = [0, *(edge for first, last, _ in bursts for edge in (first, last + 1)), packets]
    gaps = [end - begin for begin, end in zip(edges[::2], edges[1::2], strict=True) if end > begin]
    in_gaps = sum(gaps)
    return BurstsAndGaps(
        bursts=len(bursts),
        gaps=len(gaps),
        burst_density=lost_in_bursts / in_bursts if in_bursts else 0.0,
        gap_density=(len(losses) - lost_in_bursts) / in_gaps if in_gaps else 0.0,
        mean_burst=in_bursts / len(bursts) if bursts else 0.0,
        mean_gap=in_gaps / len(gaps) if gaps else 0.0,
    )
