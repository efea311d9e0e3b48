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
}
# The design's stylesheets and what the report brings are kept with the report: one copy for both.
_OF_REPORT = ("tokens.css", "components.css", "report.css", "report.js")
_OWN = (
    "app.css",
    "theme.js",
    "app.js",
    "drafts.js",
    "editor-caret.js",
    "editor-words.js",
    "editor.js",
    "live.js",
    "history.js",
    "icon.svg",
)
_VENDORED = ("htmx/htmx.min.js", "uplot/uPlot.iife.min.js", "uplot/uPlot.min.css")


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    media_type: str
    data: bytes
    packed: bytes  # gzip
    version: str

    @property
    def url(self) -> str:
        return f"/assets/{self.name}?v={self.version}"


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
    return {name: _read(name, path.read_bytes()) for name, path in found.items()}


def _read(name: str, data: bytes) -> Asset:
    version = hashlib.sha256(data).hexdigest()[:12]
    return Asset(name, _TYPES[name.rpartition(".")[2]], data, gzip.compress(data, 9, mtime=0), version)


def asset_url(name: str) -> str:
    """Raises KeyError for a name that is not shipped."""
    return assets()[name].url
