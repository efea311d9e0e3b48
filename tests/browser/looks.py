"""What can be measured of how a page looks: contrast, sideways scrolling, names for controls, structure."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_MEASURES = (Path(__file__).parent / "looks.js").read_text("utf-8")
_CHECKS = ("contrast", "sideways", "nameless", "structure")


def sideways(page: Page) -> list[str]:
    """What a page wider than its window has beyond the edge."""
    found: list[str] = page.evaluate(f"({_MEASURES}).sideways()")
    return found


def faults(page: Page) -> list[str]:
    """Sentences about what is wrong with the page as it is now; none when it is well."""
    measures = page.evaluate_handle(_MEASURES)
    return [
        f"{name}: {fault}"
        for name in _CHECKS
        for fault in measures.evaluate(f"measures => measures.{name}()")
    ]
