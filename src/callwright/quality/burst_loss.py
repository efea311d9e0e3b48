"""Loss of one stream as the two numbers that the E-model wants: how much, and how far in bursts."""

from __future__ import annotations

from dataclasses import dataclass


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


def from_counts(packets: int, lost: int, runs: int) -> LossPattern:
    """Ppl and BurstR of `packets` expected, of which `lost` were lost or discarded in `runs` runs.
    `ValueError` where the counters contradict each other.
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
