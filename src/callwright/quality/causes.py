"""Who took the MOS: what is missing from the ideal, split by codec, delay, loss and discard.

The causes do not simply add up, since loss hurts more where a delay hurts already. Each cause gets the
mean of what it takes over all orders in which the causes can come (its Shapley value), which needs no
order of our own choosing, is never negative, and sums to what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial

from callwright.quality.e_model import EModelInput, ideal, rate


@dataclass(frozen=True, slots=True)
class Causes:
    """MOS points, each at least 0; the four sum to `lost_mos`."""

    lost_mos: float
    """The MOS of the same telephones on an ideal path, less the MOS that was reached."""
    codec: float
    delay: float
    loss: float
    discard: float

    @property
    def worst(self) -> str | None:
        """The name of the greatest; None where nothing is missing."""
        shares = self.to_json()
        name = max(shares, key=shares.__getitem__)
        return name if shares[name] > 0 else None

    def to_json(self) -> dict[str, float]:
        """The four shares by name."""
        return {"codec": self.codec, "delay": self.delay, "loss": self.loss, "discard": self.discard}


_NAMES = ("codec", "delay", "loss", "discard")


def split(inputs: EModelInput, *, discard: float = 0.0) -> Causes:
    """The split for a rating whose `ppl` holds `discard` percent that the jitter buffer threw away."""
    if not 0 <= discard <= inputs.ppl:
        raise ValueError(f"discard is {discard:g} %; it has to be 0 to {inputs.ppl:g} %, all that was lost")

    def mos(present: frozenset[str]) -> float:
        delayed = "delay" in present
        ppl = ("loss" in present) * (inputs.ppl - discard) + ("discard" in present) * discard
        return rate(
            replace(
                inputs,
                ie=inputs.ie if "codec" in present else 0.0,
                ta=inputs.ta if delayed else 0.0,
                t=inputs.t if delayed else 0.0,
                tr=inputs.tr if delayed else 0.0,
                ppl=min(100.0, ppl),
            )
        ).mos

    active = [
        name
        for name, counts in zip(
            _NAMES,
            (inputs.ie > 0, max(inputs.ta, inputs.t, inputs.tr) > 0, inputs.ppl > discard, discard > 0),
            strict=True,
        )
        if counts
    ]
    lost = max(0.0, ideal(inputs).mos - rate(inputs).mos)
    shares = dict.fromkeys(_NAMES, 0.0) | _shapley(active, mos)
    # A millisecond of delay is worth up to a thousandth of MOS in the model's sidetone term: no cause, so the
    # shares are made to fit, and what rounding leaves over goes to the greatest.
    total = sum(shares.values())
    if total > 0:
        shares = {name: share * lost / total for name, share in shares.items()}
        greatest = max(shares, key=shares.__getitem__)
        shares[greatest] = lost - sum(share for name, share in shares.items() if name != greatest)
    else:
        lost = 0.0
    return Causes(lost_mos=lost, **shares)


def _shapley(players: list[str], value: Callable[[frozenset[str]], float]) -> dict[str, float]:
    n = len(players)
    groups = [frozenset(group) for size in range(n + 1) for group in combinations(players, size)]
    known = {group: value(group) for group in groups}
    shares = {}
    for player in players:
        total = 0.0
        for group in groups:
            if player not in group:
                weight = factorial(len(group)) * factorial(n - len(group) - 1) / factorial(n)
                total += weight * (known[group] - known[group | {player}])
        shares[player] = max(0.0, total)
    return shares
