"""Ie and Bpl of codecs on each scale, and whether the ITU has published them.

The published ones are from ITU-T G.113: appendix I for narrowband, appendix IV for wideband, appendix V for
fullband. Where there is none, ours stands here with the reason, and is called provisional wherever it is
used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from callwright.quality.e_model import Scale


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a codec costs on one scale."""

    codec: str
    scale: Scale
    ie: float
    bpl: float
    concealment: bool
    """Whether `bpl` counts on the receiver hiding losses."""
    ie_published: bool
    bpl_published: bool
    source: str
    """Where the values are from, or why they are what they are."""

    def provisional(self, ppl: float = 0.0) -> bool:
        """Whether a rating with this loss rests on a value that the ITU has not published."""
        return not self.ie_published or (ppl > 0 and not self.bpl_published)


class _Row(NamedTuple):
    codec: str
    scale: Scale
    ie: float
    bpl: float
    source: str
    published: str = "ie bpl"
    plc: bool = True


_NB, _WB, _FB = Scale.NARROWBAND, Scale.WIDEBAND, Scale.FULLBAND

_NO_BPL_WB = "no Bpl,WB is published, narrowband's is used"
_ROWS = (
    _Row("G711", _NB, 0, 25.1, "G.113 appendix I: G.711 with concealment after G.711 appendix I"),
    _Row("G711", _NB, 0, 4.3, "G.113 appendix I: G.711 without concealment", plc=False),
    _Row("G729A", _NB, 11, 19, "G.113 appendix I: G.729A with VAD, 20 ms"),
    _Row("G723", _NB, 15, 16.1, "G.113 appendix I: G.723.1 at 6.3 kbit/s with VAD, 30 ms"),
    _Row("GSM-EFR", _NB, 5, 10, "G.113 appendix I: GSM-EFR at 12.2 kbit/s, 20 ms"),
    _Row(
        "GSM", _NB, 20, 10, "G.113 appendix I for Ie of GSM-FR; no Bpl is published, GSM-EFR's is used", "ie"
    ),
    _Row("G726-32", _NB, 7, 4.3, "G.113 appendix I for Ie at 32 kbit/s; no Bpl is published", "ie"),
    _Row("AMR", _NB, 5, 10, "no value is published; those of GSM-EFR, its 12.2 kbit/s mode, are used", ""),
    _Row("iLBC", _NB, 11, 19, "no value is published; G.729A's are used", ""),
    _Row("G722", _NB, 0, 10, "no value is published in narrowband; taken as G.711 with a cautious Bpl", ""),
    _Row("opus", _NB, 0, 10, "no value is published; taken as G.711 with a cautious Bpl", ""),
    _Row("L16", _NB, 0, 4.3, "no value is published in narrowband; G.711 without concealment is used", ""),
    _Row("AMR-WB", _NB, 0, 10, "no value is published in narrowband; taken as G.711, cautious Bpl", ""),
    _Row(
        "G722",
        _WB,
        13,
        4.3,
        "G.113 appendix IV for Ie,WB at 64 kbit/s; Bpl,WB is AMR-WB's, not published",
        "ie",
    ),
    _Row("AMR-WB", _WB, 20, 4.3, "G.113 appendix IV: AMR-WB at 12.65 kbit/s, diotic"),
    _Row("AMR-WB/23.05", _WB, 8, 4.6, "G.113 appendix IV: AMR-WB at 23.05 kbit/s, diotic"),
    _Row("AMR-WB/23.85", _WB, 10, 4.9, "G.113 appendix IV: AMR-WB at 23.85 kbit/s, diotic"),
    _Row("opus", _WB, 7, 4.6, "no value is published; chosen among those of AMR-WB at a similar rate", ""),
    _Row("L16", _WB, 0, 4.3, "the clean wideband channel itself; no Bpl,WB is published", "ie"),
    _Row("G711", _WB, 36, 25.1, f"G.113 appendix IV for Ie,WB; {_NO_BPL_WB}", "ie"),
    _Row("G711", _WB, 36, 4.3, f"G.113 appendix IV for Ie,WB; {_NO_BPL_WB}", "ie", plc=False),
    _Row("EVS", _FB, 7.2, 11.4, "G.113 appendix V: EVS-SWB at 24.4 kbit/s, diotic"),
)

_TABLE = {
    (row.codec.lower(), row.scale, row.plc): Impairment(
        row.codec,
        row.scale,
        float(row.ie),
        row.bpl,
        row.plc,
        "ie" in row.published.split(),
        "bpl" in row.published.split(),
        row.source,
    )
    for row in _ROWS
}

_ALIASES = {
    "pcmu": "g711",
    "pcma": "g711",
    "g.711": "g711",
    "ulaw": "g711",
    "alaw": "g711",
    "g.722": "g722",
    "g729": "g729a",
    "g.729": "g729a",
    "g.729a": "g729a",
    "g723.1": "g723",
    "g.723.1": "g723",
    "g722.2": "amr-wb",
    "g.722.2": "amr-wb",
    "amr-nb": "amr",
    "g726": "g726-32",
}


def names(scale: Scale | None = None) -> tuple[str, ...]:
    """The codecs of the table, of one scale or of all."""
    return tuple(dict.fromkeys(row.codec for row in _ROWS if scale is None or row.scale is scale))


def impairment(codec: str, scale: Scale = Scale.NARROWBAND, *, concealment: bool = True) -> Impairment:
    """Ie and Bpl of a codec, by its SDP name or its ITU name. `ValueError` names what there is.

    `concealment` false asks for a receiver that fills losses with silence; only G.711 has values for it, the
    others conceal in their decoder.
    """
    name = codec.strip().lower()
    name = _ALIASES.get(name, name)
    found = _TABLE.get((name, scale, concealment)) or _TABLE.get((name, scale, True))
    if found is None:
        known = ", ".join(names(scale))
        raise ValueError(f"no impairment of {codec!r} is known on the {scale.value} scale; there is {known}")
    return found


def scale_of(codec: str) -> Scale:
    """The scale a call with this codec is judged on: the widest that has values for it, wideband at most."""
    name = codec.strip().lower()
    name = _ALIASES.get(name, name)
    return Scale.WIDEBAND if name != "g711" and (name, Scale.WIDEBAND, True) in _TABLE else Scale.NARROWBAND
