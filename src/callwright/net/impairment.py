"""A bad network, decided by a seed: which packets are lost, and when the others arrive.

Pure: it takes `now` and gives times of delivery, so the simulation kit uses it in virtual time. The same seed
and the same sequence of packets give the same network, whatever the times.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a channel that is good or bad, and changes between packets.

    `to_bad` and `to_good` are the probabilities of change before each packet; `loss_good` and `loss_bad`
    those of losing a packet in each state. `burst(…)` makes the usual one from mean loss and length.
    """

    to_bad: float
    to_good: float
    loss_good: float = 0.0
    loss_bad: float = 1.0

    @staticmethod
    def burst(loss: float, mean_length: float) -> GilbertElliott:
        """The channel that loses the share `loss` (below 1) in bursts of `mean_length` packets (from 1)."""
        if not 0 <= loss < 1 or mean_length < 1:
            raise ValueError("loss is 0 to below 1, and a burst has at least one packet")
        to_good = 1 / mean_length
        to_bad = loss * to_good / (1 - loss)
        if to_bad > 1:
            raise ValueError(f"bursts of {mean_length:g} packets are too short for a loss of {loss:g}")
        return GilbertElliott(to_bad, to_good)

    @property
    def mean_loss(self) -> float:
        """The share of packets that is lost in the long run."""
        if self.to_bad + self.to_good == 0:
            return self.loss_good
        bad = self.to_bad / (self.to_bad + self.to_good)
        return bad * self.loss_bad + (1 - bad) * self.loss_good


@dataclass(frozen=True, slots=True)
class Impairments:
    """What the network does. Shares are 0 to 1, times are seconds."""

    loss: float = 0.0
    """Share of packets lost, each on its own."""
    bursts: GilbertElliott | None = None
    """Loss in bursts, besides `loss`."""
    delay: float = 0.0
    jitter: float = 0.0
    """Spread of the delay: half width if uniform, standard deviation if normal, mean if exponential."""
    distribution: Literal["uniform", "normal", "exponential"] = "uniform"
    keep_order: bool = True
    """Jitter alone does not let packets overtake one another, as in a queue."""
    reorder: float = 0.0
    """Share of packets that are held back by `reorder_by`, so that later ones overtake them."""
    reorder_by: float = 0.030
    duplicate: float = 0.0
    duplicate_by: float = 0.0
    """How much later the copy comes."""
    rate: float = 0.0
    """Bits per second of the bottleneck; 0 is no limit."""
    queue: float = 1.0
    """Seconds that a packet may wait for the bottleneck before it is dropped."""

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share between 0 and 1")
        for name in ("delay", "jitter", "reorder_by", "duplicate_by", "rate", "queue"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is not negative")


class Impairment:
    """One direction of a network. Ask it for each packet in the order of sending."""

    def __init__(self, impairments: Impairments, seed: int | str) -> None:
        self.impairments = impairments
        self.offered = 0
        self.lost = 0
        """Packets lost on purpose or dropped at the bottleneck."""
        self.duplicated = 0
        self.reordered = 0
        self._random = random.Random(f"impairment {seed}")
        self._bad = False
        self._free_at = -math.inf
        self._latest = -math.inf

    def plan(self, size: int, now: float) -> list[float]:
        """When a packet of `size` octets, sent at `now`, arrives: never if it is lost, twice if doubled."""
        what = self.impairments
        # Every packet draws the same numbers, so a change of one impairment leaves the luck of the others.
        burst_change, burst_loss, loss, jitter, reorder, duplicate = (self._random.random() for _ in range(6))
        gauss = self._random.gauss(0.0, 1.0)
        self.offered += 1
        if self._burst_takes(burst_change, burst_loss) or loss < what.loss:
            self.lost += 1
            return []
        queued = self._through_bottleneck(size, now)
        if queued is None:
            self.lost += 1
            return []
        arrival = queued + max(0.0, what.delay + self._spread(jitter, gauss))
        if what.keep_order:
            arrival = max(arrival, self._latest)
        if reorder < what.reorder:
            self.reordered += 1
            arrival += what.reorder_by
        else:
            self._latest = max(self._latest, arrival)
        if duplicate < what.duplicate:
            self.duplicated += 1
            return [arrival, arrival + what.duplicate_by]
        return [arrival]

    def _burst_takes(self, change: float, loss: float) -> bool:
        channel = self.impairments.bursts
        if channel is None:
            return False
        if change < (channel.to_good if self._bad else channel.to_bad):
            self._bad = not self._bad
        return loss < (channel.loss_bad if self._bad else channel.loss_good)

    def _through_bottleneck(self, size: int, now: float) -> float | None:
        what = self.impairments
        if not what.rate:
            return now
        begin = max(now, self._free_at)
        if begin - now > what.queue:
            return None
        self._free_at = begin + size * 8 / what.rate
        return self._free_at

    def _spread(self, uniform: float, gauss: float) -> float:
        what = self.impairments
        match what.distribution:
            case "normal":
                return what.jitter * gauss
            case "exponential":
                return -what.jitter * math.log(1.0 - uniform)
        return what.jitter * (2.0 * uniform - 1.0)
