"""A badge: two words in an SVG picture that needs nothing from elsewhere."""

from __future__ import annotations

from html import escape

from callwright.control.monitors.standing import Standing

__all__ = ["badge"]

_COLOURS = {Standing.GOOD: "#0a7355", Standing.BAD: "#bf1f2d", Standing.NO_DATA: "#5d636b", None: "#5d636b"}
_LONGEST = 40
_WIDE = 6.6  # pixels of a character at 11 px, on average; textLength makes it exact


def badge(label: str, value: str, standing: Standing | None) -> str:
    """``standing`` None: there is nothing to tell of."""
    label = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    left, right = (round(len(text) * _WIDE) for text in (label, value))
    width = left + right + 28
    says = escape(f"{label}: {value}", quote=True)
    texts = "".join(
        f'<text x="{x}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
        for x, length, text in ((7, left, label), (left + 21, right, value))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{says}">'
        f"<title>{says}</title>"
        f'<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left + 14}" height="20" fill="#33373d"/>'
        f'<rect x="{left + 14}" width="{right + 14}" height="20" fill="{_COLOURS[standing]}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{texts}</g></svg>\n"
    )
