"""The E-model: ITU-T G.107 (06/2015) for narrowband, G.107.1 (06/2019) for wideband, G.107.2 in part.

    R = Ro − Is − Id − Ie,eff + A

Every parameter that a call does not measure has the default of G.107 table 3. The echo convention is the
caller's and is stated by `path`: with echo T = Ta, Tr = 2·Ta and TELR 65 dB (400 ms gives R 62.25),
without it T = Tr = 0 (400 ms gives R 69.14).

The scales are not to be compared: R ends at about 94 in narrowband, at 129 in wideband, at 148 in fullband.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Scale(StrEnum):
    """The bandwidth whose listeners are asked; its value is what JSON says in `mos_scale`."""

    NARROWBAND = "nb"
    WIDEBAND = "wb"
    FULLBAND = "fb"


_TOP = {Scale.NARROWBAND: 100.0, Scale.WIDEBAND: 129.0, Scale.FULLBAND: 148.0}
# The ceiling of Ie,eff: 95 in G.107 eq. 7-29 and, unchanged, in G.107.1 eq. 7-15; 132 in G.107.2.
_IE_CEILING = {Scale.NARROWBAND: 95.0, Scale.WIDEBAND: 95.0, Scale.FULLBAND: 132.0}
_NFOR = {Scale.NARROWBAND: -64.0, Scale.WIDEBAND: -96.0, Scale.FULLBAND: -96.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class EModelInput:
    """The parameters of G.107 table 3 under its own names. `ValueError` says what is permitted."""

    scale: Scale = Scale.NARROWBAND
    ie: float = 0.0
    """Equipment impairment factor of the codec, on this scale."""
    bpl: float = 4.3
    """Packet-loss robustness factor of the codec and its concealment, on this scale."""
    ppl: float = 0.0
    """Packets lost, in percent, those that the jitter buffer discarded included."""
    burst_r: float = 1.0
    """Burst ratio: 1 for random loss, more for bursts."""
    ta: float = 0.0
    """Absolute delay, one way, mouth to ear, in ms."""
    t: float = 0.0
    """Mean one-way delay of the echo path, in ms."""
    tr: float = 0.0
    """Round-trip delay in the 4-wire loop, in ms."""
    slr: float = 8.0
    """Send loudness rating, dB."""
    rlr: float = 2.0
    """Receive loudness rating, dB."""
    stmr: float = 15.0
    """Sidetone masking rating, dB."""
    lstr: float = 18.0
    """Listener sidetone rating, dB: STMR + Dr."""
    ds: float = 3.0
    """D-value of the telephone, send side."""
    telr: float = 65.0
    """Talker echo loudness rating, dB."""
    wepl: float = 110.0
    """Weighted echo path loss, dB."""
    qdu: float = 1.0
    """Number of quantisation distortion units."""
    nc: float = -70.0
    """Circuit noise referred to the 0 dBr point, dBm0p."""
    nfor: float | None = None
    """Noise floor at the receive side, dBmp; None is −64 in narrowband and −96 in wideband."""
    ps: float = 35.0
    """Room noise at the send side, dB(A)."""
    pr: float = 35.0
    """Room noise at the receive side, dB(A)."""
    a: float = 0.0
    """Advantage factor: 0 for a measurement."""
    s_t: float = 1.0
    """Delay sensitivity."""
    m_t: float = 100.0
    """Minimum perceivable delay, ms."""
    delay_counts: bool = True
    """False leaves Id out altogether: for a capture in the middle, which knows nothing of delay and echo."""

    def __post_init__(self) -> None:
        for name, value, low, high, unit in (
            ("loss (Ppl)", self.ppl, 0.0, 100.0, " %"),
            ("burst ratio (BurstR)", self.burst_r, 1.0, math.inf, ""),
            ("delay (Ta)", self.ta, 0.0, math.inf, " ms"),
            ("echo delay (T)", self.t, 0.0, math.inf, " ms"),
            ("round-trip delay (Tr)", self.tr, 0.0, math.inf, " ms"),
            ("Ie", self.ie, 0.0, _IE_CEILING[self.scale], ""),
            ("advantage (A)", self.a, 0.0, 20.0, ""),
            ("STMR", self.stmr, 0.0, 80.0, " dB"),
            ("qdu", self.qdu, 1.0, 1000.0, ""),
        ):
            if not (math.isfinite(value) and low <= value <= high):
                bounds = f"at least {low:g}{unit}" if high == math.inf else f"{low:g} to {high:g}{unit}"
                raise ValueError(f"{name} is {value:g}; it has to be {bounds}")
        if not (math.isfinite(self.bpl) and self.bpl > 0):
            raise ValueError(f"Bpl is {self.bpl:g}; it has to be more than 0")
        if not (math.isfinite(self.s_t) and self.s_t > 0 and math.isfinite(self.m_t) and self.m_t > 0):
            raise ValueError("sT and mT have to be more than 0")


@dataclass(frozen=True, slots=True)
class EModel:
    """A rating with every term that made it."""

    r: float
    """Not clamped: below 0 for the worst, above the top of the scale with an advantage."""
    mos: float
    """MOS-CQE, 1 to 4.5."""
    ro: float
    is_: float
    id: float
    idte: float
    idle: float
    idd: float
    ie_eff: float
    a: float
    inputs: EModelInput


def path(
    *,
    ie: float,
    bpl: float,
    ta: float = 0.0,
    ppl: float = 0.0,
    burst_r: float = 1.0,
    scale: Scale = Scale.NARROWBAND,
    echo: bool = True,
) -> EModelInput:
    """The inputs for a measured call: `ta` in ms one way, `ppl` in percent with discards, and the echo
    convention.

    With `echo` T = Ta and Tr = 2·Ta at TELR 65 dB; without it T = Tr = 0.
    """
    t = ta if echo else 0.0
    return EModelInput(scale=scale, ie=ie, bpl=bpl, ppl=ppl, burst_r=burst_r, ta=ta, t=t, tr=2 * t)


def mos_from_r(r: float, scale: Scale = Scale.NARROWBAND) -> float:
    """MOS-CQE of a rating: G.107 eq. B-4, after R/1.29 in wideband (G.107.1 eq. A-1) and R/1.48 in fullband.

    Never below 1, although the polynomial dips to 0.989 between 0 and 6.5.
    """
    x = r * 100 / _TOP[scale]
    if x <= 0:
        return 1.0
    if x >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * x + x * (x - 60) * (100 - x) * 7e-6)


def ie_eff(ie: float, bpl: float, ppl: float, burst_r: float = 1.0, ceiling: float = 95.0) -> float:
    """Effective equipment impairment, G.107 eq. 7-29. BurstR divides only below: bursts must cost more."""
    return ie + (ceiling - ie) * ppl / (ppl / burst_r + bpl)


def rate(inputs: EModelInput) -> EModel:
    """The rating of `inputs`, with its terms."""
    scale = inputs.scale
    no = _noise(inputs)
    if scale is Scale.NARROWBAND:
        ro = 15 - 1.5 * (inputs.slr + no)
        ist = _ist(inputs)
        is_ = _iolr(inputs, no) + ist + _iq(inputs, ro)
        roe, slope, more_echo_loss, delay_factor = -1.5 * (no - inputs.rlr), 2.5, 0.0, 1.0
    else:
        # G.107.1 eqs. 7-2, 7-3, 7-6 to 7-9, 7-13. Loudness and noise are "for further study" there.
        ro, ist, is_ = _TOP[scale], 0.0, 0.0
        k = 18.0 if inputs.t >= 100 else 0.08 * inputs.t + 10
        roe, slope, more_echo_loss, delay_factor = -1.5 * (no - inputs.rlr), 3.0, k, ro / 100
    idte = idle = idd = 0.0
    if inputs.delay_counts and scale is not Scale.FULLBAND:
        idte = _idte(inputs, roe, slope, more_echo_loss, ist)
        idle = _idle(inputs, ro)
    if inputs.delay_counts:
        idd = delay_factor * _idd(inputs)
    id_ = idte + idle + idd
    effective = ie_eff(inputs.ie, inputs.bpl, inputs.ppl, inputs.burst_r, _IE_CEILING[scale])
    r = ro - is_ - id_ - effective + inputs.a
    return EModel(
        r=r,
        mos=mos_from_r(r, scale),
        ro=ro,
        is_=is_,
        id=id_,
        idte=idte,
        idle=idle,
        idd=idd,
        ie_eff=effective,
        a=inputs.a,
        inputs=inputs,
    )


def ideal(inputs: EModelInput) -> EModel:
    """The rating of the same telephones with a codec, a delay and a loss that cost nothing."""
    return rate(replace(inputs, ie=0.0, ppl=0.0, burst_r=1.0, ta=0.0, t=0.0, tr=0.0))


def limits(inputs: EModelInput) -> tuple[str, ...]:
    """Sentences for what lies outside the ranges of G.107 table 3, where a rating is an extrapolation."""
    notes = []
    if inputs.ta > 500:
        notes.append(f"a delay of {inputs.ta:g} ms is beyond the 500 ms that G.107 covers")
    if inputs.ppl > 20:
        notes.append(f"a loss of {inputs.ppl:g} % is beyond the 20 % that G.107 covers")
    if inputs.burst_r > 8:
        notes.append(f"a burst ratio of {inputs.burst_r:g} is beyond the 8 that G.107 covers")
    elif inputs.burst_r > 2 and inputs.ppl >= 2:
        notes.append("for burst ratios above 2 G.107 was confirmed only below 2 % loss")
    return tuple(notes)


def _power_sum(*levels: float) -> float:
    return 10 * math.log10(sum(10 ** (level / 10) for level in levels))


def _noise(p: EModelInput) -> float:
    """No, the sum of all noise at the 0 dBr point, eqs. 7-3 to 7-7."""
    olr = p.slr + p.rlr
    nos = p.ps - p.slr - p.ds - 100 + 0.004 * (p.ps - olr - p.ds - 14) ** 2
    pre = p.pr + 10 * math.log10(1 + 10 ** ((10 - p.lstr) / 10))
    nor = p.rlr - 121 + pre + 0.008 * (pre - 35) ** 2
    nfor = _NFOR[p.scale] if p.nfor is None else p.nfor
    return _power_sum(p.nc, nos, nor, nfor + p.rlr)


def _root(x: float, n: float) -> float:
    return float((1 + x**n) ** (1 / n))


def _iolr(p: EModelInput, no: float) -> float:
    """Too low an overall loudness rating, eqs. 7-9 and 7-10."""
    xolr = p.slr + p.rlr + 0.2 * (64 + no - p.rlr)
    return 20 * (_root(xolr / 8, 8) - xolr / 8)


def _ist(p: EModelInput) -> float:
    """Sidetone, eqs. 7-11 and 7-12."""
    stmro = -10 * math.log10(10 ** (-p.stmr / 10) + math.exp(-p.t / 4) * 10 ** (-p.telr / 10))
    return (
        12 * _root((stmro - 13) / 6, 8)
        - 28 * _root((stmro + 1) / 19.4, 35)
        - 13 * _root((stmro - 3) / 33, 13)
        + 29
    )


def _iq(p: EModelInput, ro: float) -> float:
    """Quantisation, eqs. 7-13 to 7-17."""
    q = 37 - 15 * math.log10(p.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (ro - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return 15 * math.log10(1 + 10**y + 10**z)


def _idte(p: EModelInput, roe: float, slope: float, more_echo_loss: float, ist: float) -> float:
    """Talker echo, eqs. 7-19 to 7-24; below 1 ms it is sidetone."""
    if p.t < 1:
        return 0.0
    terv = (
        p.telr
        + more_echo_loss
        - 40 * math.log10((1 + p.t / 10) / (1 + p.t / 150))
        + 6 * math.exp(-0.3 * p.t * p.t)
    )
    if p.stmr < 9:
        terv += ist / 2
    distance = (roe - (80 + slope * (terv - 14))) / 2
    idte = (distance + math.hypot(distance, 10) - 1) * (1 - math.exp(-p.t))
    return math.hypot(idte, ist) if p.stmr > 20 else idte


def _idle(p: EModelInput, ro: float) -> float:
    """Listener echo, eqs. 7-25 and 7-26."""
    distance = (ro - 10.5 * (p.wepl + 7) * math.pow(p.tr + 1, -0.25)) / 2
    return distance + math.hypot(distance, 13)


def _idd(p: EModelInput) -> float:
    """Delay without any echo, eqs. 7-27 and 7-28."""
    if p.ta <= p.m_t:
        return 0.0
    x = math.log2(p.ta / p.m_t)
    return 25 * (_root(x, 6 * p.s_t) - 3 * _root(x / 3, 6 * p.s_t) + 2)
