"""The E-model applied to one direction of a call, by its codec, loss and delay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from callwright.quality.codec_table import impairment, scale_of
from callwright.quality.e_model import EModel, EModelInput, mos_from_r, path, rate

REFERENCE_BUFFER_MS = 50.0
#: Algorithmic look-ahead of the encoder in ms, where it is not nothing (RFC 6716 section 2: Opus at 48 kHz).
_LOOK_AHEAD_MS = {"opus": 6.5, "g722": 1.5}


@dataclass(frozen=True, slots=True)
class Score:
    """One application of the E-model, with all that it used."""

    model: EModel
    ie: float
    bpl: float
    ta_ms: float
    burst_ratio: float | None
    ppl: float
    provisional: bool
    scale: str

    @property
    def mos(self) -> float:
        return self.model.mos

    @property
    def inputs(self) -> EModelInput:
        return self.model.inputs


@lru_cache(maxsize=4096)
def score(
    codec: str,
    *,
    ppl: float,
    burst_r: float | None,
    delay_ms: float,
    rtt_ms: float | None,
    ptime: float,
    rated: float = 1.0,
) -> Score | None:
    """Rate one direction; None for a codec that nobody has values for.

    `rated` is the share of the time that the E-model speaks of. The rest was silence in which packets were
    due: it is rated with R = 0, and R is the mean over time, as ETSI TS 101 329-5 annex E has it
    between bursts and gaps.

    A call asks for each of its seconds, and nearly all of them are alike: so answers are kept.
    """
    try:
        scale = scale_of(codec)
        found = impairment(codec, scale)
    except ValueError:
        return None
    ta = (rtt_ms or 0.0) / 2 + delay_ms + ptime + _LOOK_AHEAD_MS.get(codec.lower(), 0.0)
    model = rate(
        path(ie=found.ie, bpl=found.bpl, ta=ta, ppl=min(100.0, ppl), burst_r=burst_r or 1.0, scale=scale)
    )
    if rated < 1.0:
        r = max(0.0, model.r) * rated
        model = replace(model, r=r, mos=mos_from_r(r, scale))
    # A burst ratio that nobody told is taken for random: that is a guess, and said to be one.
    provisional = found.provisional(ppl) or (burst_r is None and ppl > 0)
    return Score(model, found.ie, found.bpl, ta, burst_r, ppl, provisional, scale.value)
