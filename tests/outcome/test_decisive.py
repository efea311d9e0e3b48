"""Figures without noise, never rounded across what they are compared with."""

from __future__ import annotations

import pytest

from callwright.outcome.decisive import decisive


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (0.02215, 30, "0.02"),
        (2215.4, 200, "2215"),
        (123456.7, 200, "123457"),
        (12.3456, 30, "12.35"),
        (4.2999, 3.5, "4.3"),
        (0.0, 1, "0"),
        (0.0004, 1, "0.0004"),
        (100.0004, 100, "100.0004"),
        (3.4996, 3.5, "3.4996"),
        (-12.3456, 0, "-12.35"),
    ],
)
def test_a_figure_has_two_decimals_unless_more_decide(value: float, limit: float, shown: str) -> None:
    assert decisive(value, limit, significant=4) == shown
