"""How many calls at once a test may hold: agents, the queue and the fleet count by it."""

from __future__ import annotations

from callwright.scenario.actions import Call
from callwright.scenario.scenario import Scenario

__all__ = ["LOAD_WEIGHT", "weight"]

LOAD_WEIGHT = 10
"""Calls of softphones that a load is taken for, however many it places: one core's worth of them."""


def weight(scenario: Scenario) -> int:
    """Calls at once that it may hold, both ends when both are here; at least 1."""
    calls = [action for action in scenario.actions() if isinstance(action, Call)]
    legs = 2 if scenario.needs_pbx else 1
    weights = [
        LOAD_WEIGHT if call.is_load else call.concurrent or min(call.max_total_calls, _overlap(call))
        for call in calls
    ]
    return max(1, legs * sum(weights))


def _overlap(call: Call) -> int:
    return 1 + int(call.call_rate * (call.ring_timeout + call.max_duration))
