"""Stylesheets, scripts and what else a page loads: read once, named by content, nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "woff2": "font/woff2",
}
# The design's stylesheets and what the report brings are kept with the report: one copy for both.
_OF_REPORT = ("tokens.css", "components.css", "report.css", "report.js")
_OWN = (
    "alerts.css",
    "app.css",
    "fleet.css",
    "printed.css",
    "status.css",
    "telephony.css",
    "monitoring.css",
    "theme.js",
    "app.js",
    "drafts.js",
    "editor-caret.js",
    "editor-words.js",
    "editor.js",
    "live.js",
    "board.js",
    "calls.js",
    "history.js",
    "icon.svg",
)
#: Inter, variable: Latin and its extensions. DejaVu and the like take over where it has no glyph.
FONTS = ("inter/inter-latin-wght-normal.woff2", "inter/inter-latin-ext-wght-normal.woff2")
_VENDORED = ("htmx/htmx.min.js", "uplot/uPlot.iife.min.js", "uplot/uPlot.min.css", *FONTS)


#: The mark of a run's phase on the icon of its tab, a shape of its own for each.
_MARKS = {
    "passed": '<circle cx="16" cy="16" r="6" fill="#0a7355"/>'
    '<path d="M13.2 16.2l2 2 3.6-4" stroke="#fff" stroke-width="1.6"/>',
    "failed": '<path d="M13.5 10h5L22 13.5v5L18.5 22h-5L10 18.5v-5z" fill="#bf1f2d"/>'
    '<path d="M14 14l4 4M18 14l-4 4" stroke="#fff" stroke-width="1.6"/>',
    "error": '<path d="M16 9.5 22 21.5H10z" fill="#7a3bb3"/>'
    '<path d="M16 14v3.5M16 19.4v.1" stroke="#fff" stroke-width="1.6"/>',
    "invalid": '<circle cx="16" cy="16" r="5.2" fill="#fff" stroke="#5d636b" stroke-width="1.8" '
    'stroke-dasharray="2.6 2"/>',
    "canceled": '<circle cx="16" cy="16" r="6" fill="#5d636b"/>'
    '<path d="M13.2 16h5.6" stroke="#fff" stroke-width="1.8"/>',
    "running": '<circle cx="16" cy="16" r="4.8" fill="#fff" stroke="#2350c8" stroke-width="2.4"/>',
}


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    media_type: str
    data: bytes
    packed: bytes | None  # gzip; None for what is compressed already
    version: str

    @property
    def url(self) -> str:
        return f"/assets/{self.name}?v={self.version}"


def _marked(icon: Asset, phase: str) -> Asset:
    return _read(f"icon-{phase}.svg", icon.data.replace(b"</svg>", f"{_MARKS[phase]}</svg>".encode()))


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Name to asset."""
    found: dict[str, Any] = {}
    report = resources.files("callwright.evidence") / "static"
    own = resources.files("callwright.control.web") / "static"
    for name in _OF_REPORT:
        found[name] = report / name
    for name in _OWN:
        found[name] = own / name
    for name in _VENDORED:
        found[name] = own / "vendor" / name
    read = {name: _read(name, path.read_bytes()) for name, path in found.items()}
    sheet = read["app.css"].data
    for name in FONTS:  # named by content too, so that a browser never asks again
        sheet = sheet.replace(b"url(vendor/%s)" % name.encode(), b"url(%s)" % read[name].url.encode())
    read["app.css"] = _read("app.css", sheet)
    return read | {f"icon-{phase}.svg": _marked(read["icon.svg"], phase) for phase in _MARKS}


def _read(name: str, data: bytes) -> Asset:
    version = hashlib.sha256(data).hexdigest()[:12]
    kind = name.rpartition(".")[2]
    packed = None if kind == "woff2" else gzip.compress(data, 9, mtime=0)
    return Asset(name, _TYPES[kind], data, packed, version)


def asset_url(name: str) -> str:
    """Raises KeyError for a name that is not shipped."""
    return assets()[name].url
