"""Callwright places real SIP calls with real audio, judges them, and keeps watching.

    from callwright import Phone, Scenario, call, run

See docs/python.md. Nothing is imported before it is asked for, and no room imports this module.
"""

from __future__ import annotations

import importlib
from typing import Any

#: name -> (room, its name there; none: the room itself)
_ROOMS = {
    "DocumentError": ("callwright.scenario.source", "DocumentError"),
    "Invitation": ("callwright.scripting.live_call", "Invitation"),
    "LiveCall": ("callwright.scripting.live_call", "LiveCall"),
    "Phone": ("callwright.scripting.phone", "Phone"),
    "PolicyRefusal": ("callwright.agent.execution", "PolicyRefusal"),
    "Scenario": ("callwright.scenario.scenario", "Scenario"),
    "__version__": ("callwright.version", "__version__"),
    "actions": ("callwright.scenario.actions", ""),
    "call": ("callwright.scripting.running", "call"),
    "reference_pbx": ("callwright.scripting.running", "reference_pbx"),
    "run": ("callwright.scripting.running", "run"),
}
__all__ = list(_ROOMS)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, attribute = _ROOMS[name]
    module = importlib.import_module(room)
    found = getattr(module, attribute) if attribute else module
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
