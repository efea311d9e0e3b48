"""Templates to answers: one environment for the pages and the sections of the report, strict and escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar import Response

from callwright.control.web.assets import asset_url
from callwright.evidence.page import equip
from callwright.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

# Styles stand in attributes all over the charts; scripts come from our own files alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors {framed}"
)
HTML = "text/html"


def headers(*, framed: bool = False) -> dict[str, str]:
    """Of every page. ``framed``: other sites may show it in a frame, as people do with shared runs."""
    return {
        "Content-Security-Policy": _POLICY.format(framed="*" if framed else "'none'"),
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Vary": "Cookie, HX-Request",
    }


@lru_cache(maxsize=1)
def environment() -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader("callwright.control.web"), PackageLoader("callwright.evidence")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    equip(made)
    made.filters.update(
        moment=moment,
        clock_time=clock_time,
        day=day,
        ago=ago,
        span=span,
        ticking=ticking,
        thousands=thousands,
    )
    made.globals.update(asset=asset_url, version=__version__)
    return made


def render(template: str, context: Mapping[str, Any]) -> str:
    html = environment().get_template(template).render(context)
    # A lone surrogate cannot be written as UTF-8; whatever slipped through becomes visible.
    return html.encode("utf-8", "replace").decode("utf-8").replace("\0", "␀")


def page(
    template: str, context: Mapping[str, Any], *, status: int = 200, framed: bool = False
) -> Response[bytes]:
    body = render(template, context).encode()
    found = headers(framed=framed)
    if context.get("kiosk_url"):  # a secret that stands in it each time: its length must not tell of it
        found["Cache-Control"] = "no-store, no-transform"
    return Response(body, status_code=status, media_type=HTML, headers=found)


def qr(text: str, title: str) -> Any:
    """A QR code as SVG to stand in the page: black on white in every theme, since cameras expect that."""
    import segno
    from markupsafe import Markup

    drawn = segno.make(text, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, light="#fff", omitsize=True, title=title))


# -- times and figures, as the pages write them; all in UTC -------------------------------------------------


def moment(seconds: float | None) -> str:
    """ "21 Nov 2026, 03:48:12"."""
    return "never" if seconds is None else f"{_utc(seconds):%-d %b %Y, %H:%M:%S}"


def clock_time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{_utc(seconds):%H:%M:%S}"


def day(seconds: float) -> str:
    """ "21 Nov"."""
    return f"{_utc(seconds):%-d %b}"


def ago(seconds: float | None, now: float) -> str:
    """ "just now", "9 min ago", "yesterday"… for people; the moment itself stands in the title."""
    if seconds is None:
        return "never"
    past = max(0.0, now - seconds)
    if past < 2:
        return "just now"
    return f"{span(past)} ago"


def span(seconds: float) -> str:
    """ "36 s", "9 min", "1 h 32 min", "3 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest and hours < 12 else f"{hours} h"
    return f"{round(hours / 24)} days"


def ticking(seconds: float) -> str:
    """ "38 s", "4 min 12 s", "1 h 03 min": as a duration that goes on is counted."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours} h {of_hour:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def thousands(value: float) -> str:
    return f"{value:,.0f}"


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
