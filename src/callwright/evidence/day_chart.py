"""A simulated day of the fleet as one SVG: servers over time, and calls that waited."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from callwright.evidence.load_charts import HEIGHT, WIDTH, chart
from callwright.fleet.simulation import Result

__all__ = ["day_svg"]

_LEFT, _TOP, _GAP = 64, 34, 58
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#475569}.t{font-size:13px;font-weight:600;fill:#0f172a}"
    "polyline{fill:none;stroke:#2563eb;stroke-width:1.5}.w{stroke:#b45309}"
    "line{stroke:#e2e8f0}rect{fill:#fff}"
    "@media(prefers-color-scheme:dark){rect{fill:#0f172a}text{fill:#94a3b8}.t{fill:#f1f5f9}"
    "line{stroke:#1e293b}polyline{stroke:#60a5fa}.w{stroke:#fbbf24}}"
)


def day_svg(result: Result) -> str:
    """A whole SVG document, for a browser or a report."""
    minutes = max((len(pool.servers) for pool in result.pools), default=0)
    servers = _together([pool.servers for pool in result.pools], minutes)
    waiting = _together([pool.waiting for pool in result.pools], minutes)
    width, height = _LEFT + WIDTH + 24, 2 * (HEIGHT + _GAP) + _TOP - 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape('Servers and waiting calls of a simulated day')}</title><style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}"/>',
        _panel("Servers", servers, result.seconds, _TOP, ""),
        _panel("Calls waiting", waiting, result.seconds, _TOP + HEIGHT + _GAP, "w"),
        "</svg>",
    ]
    return "".join(parts)


def _together(columns: Sequence[Sequence[int]], minutes: int) -> list[float]:
    return [float(sum(column[n] for column in columns if n < len(column))) for n in range(minutes)]


def _panel(title: str, values: list[float], seconds: float, top: int, kind: str) -> str:
    xs = [60.0 * n for n in range(len(values))]
    drawn = chart(title, [*xs, seconds], [[*values, values[-1] if values else 0.0]], [title], [])
    points = drawn["lines"][0]["points"]
    hours = seconds / 3600
    step = next((one for one in (1, 2, 3, 4, 6, 12, 24, 168, 720) if hours / one <= 8), hours)
    ticks = []
    for n in range(int(hours / step) + 1):
        x = WIDTH * n * step / hours
        ticks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y2="{HEIGHT}"/>')
        ticks.append(f'<text x="{x:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{n * step:g}:00</text>')
    head = f"{title}, at most {drawn['top']:,.0f}"
    return (
        f'<g transform="translate({_LEFT},{top})"><text class="t" y="-12">{head}</text>'
        f'<line x2="{WIDTH}"/><line y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}"/>'
        f'<text x="-8" y="5" text-anchor="end">{drawn["axis"]}</text>'
        f'<text x="-8" y="{HEIGHT}" text-anchor="end">0</text>'
        f'{"".join(ticks)}<polyline class="{kind}" points="{points}"/></g>'
    )
