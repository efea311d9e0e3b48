"""Smoke graphs: columns, levels of loss, gaps, and the words beside them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.control.monitors.history import Tally, tally
from callwright.control.monitors.model import SlotState, StoredReading
from callwright.control.web import smoke
from callwright.control.web.smoke import PERIODS, SHOWN, Window

NOW = 1_800_000_000.0
DELAY, MOS = SHOWN[0], SHOWN[1]
HOUR, DAY, YEAR = PERIODS[0], PERIODS[2], PERIODS[5]


def at(slot: float, state: SlotState = SlotState.DONE, **figures: float) -> StoredReading:
    told = {"rtt_ms": 20.0, "sent": 25, "lost": 0} | figures
    return StoredReading(1, int(slot), state, slot, "", "passed", told)


def rows(*readings: StoredReading) -> list[tuple[int, Tally]]:
    by: dict[int, list[StoredReading]] = {}
    for one in readings:
        by.setdefault(one.slot // 60 * 60, []).append(one)
    return [(minute, tally(found)) for minute, found in sorted(by.items())]


def drawn(*readings: StoredReading, over: Window | None = None, usual: float | None = None) -> smoke.Smoke:
    over = over or smoke.window(HOUR, 60, NOW)
    return smoke.smoke(rows(*readings), over, DELAY, usual=usual, interval=60, now=NOW)


@pytest.mark.parametrize(
    ("period", "interval", "step", "columns"),
    [
        (HOUR, 10, 60, 60),
        (HOUR, 70, 120, 30),
        (HOUR, 86_400, 86_400, 1),
        (DAY, 60, 900, 96),
        (YEAR, 60, 86_400, 365),
    ],
)
def test_a_column_is_as_long_as_the_interval_at_least(
    period: smoke.Period, interval: int, step: int, columns: int
) -> None:
    over = smoke.window(period, interval, NOW)
    assert (over.step, over.columns) == (step, columns)
    assert over.until - step <= NOW < over.until
    assert over.until % step == 0


def test_the_axis_ends_now_and_has_round_times() -> None:
    marks = smoke.window(DAY, 60, NOW).marks
    assert [words for _, words in marks] == ["12:00", "16:00", "20:00", "00:00", "04:00", "now"]
    assert marks[-1] == (100.0, "now")
    months = [words for _, words in smoke.window(YEAR, 60, NOW).marks]
    assert months[:2] == ["Feb", "Mar"]
    assert months[-2:] == ["Dec", "now"]


def test_the_line_changes_its_level_with_loss_and_meets_itself() -> None:
    found = drawn(*(at(NOW - 60 * n, lost=n // 10, rtt_ms=20.0 + n) for n in range(30)))
    assert [level for level, _ in found.lines] == [3, 2, 0]
    for (_, one), (_, following) in zip(found.lines, found.lines[1:], strict=False):
        assert one.rpartition("L")[2] == following[1:].partition("L")[0]
    assert len(found.ticks) == 20
    assert found.scale == ("50", "25", "0")
    for number in re.findall(r"-?[\d.]+", found.outer + found.inner):
        assert 0 <= float(number) <= 1000


def test_what_nobody_measured_is_a_gap_with_its_slots_and_no_line() -> None:
    readings = [at(NOW - 60 * n) for n in range(60) if not 20 <= n < 40]
    missed = [at(NOW - 60 * n, SlotState.MISSED) for n in range(20, 30)]
    found = drawn(*readings, *missed)
    assert found.outer.count("M") == 2
    (gap,) = found.gaps
    assert gap.width == pytest.approx(1000 * 20 / 60, abs=0.2)
    assert gap.says == "No data from 15 Jan 2027, 07:21:00 to 15 Jan 2027, 07:41:00 UTC: 10 missed"
    silent = drawn(at(NOW - 3_540))
    assert silent.gaps[-1].says.endswith("nothing was told of any slot")
    assert silent.gaps[-1].x + silent.gaps[-1].width < 1000, "what may be on its way is no gap"


def test_a_slot_that_nobody_answered_is_loss_and_no_gap() -> None:
    failed = StoredReading(1, int(NOW) - 120, SlotState.FAILED, NOW, "", "failed", {})
    found = drawn(at(NOW - 180), failed, at(NOW - 60))
    assert [height for *_, height in found.ticks] == [30.0]
    assert found.outer.count("M") == 2
    assert not any(gap.x > 940 for gap in found.gaps)
    assert "loss now 0 %, at most 100 %" in found.says


def test_nothing_measured_is_said_and_draws_nothing() -> None:
    found = smoke.smoke([], smoke.window(DAY, 60, NOW), MOS, usual=None, interval=60, now=NOW)
    assert (found.outer, found.lines, found.empty, found.usual) == ("", (), True, None)
    assert found.says == "MOS over the last 24 hours; not measured"
    assert found.scale == ("4.5", "2.75", "1")


def test_the_usual_value_is_a_line_within_the_scale() -> None:
    found = drawn(at(NOW - 60), usual=80.0)
    assert (found.scale[0], found.usual, found.usual_words) == ("80", 0.0, "80 ms")
    assert "usually 80 ms" in found.says


@given(st.lists(st.tuples(st.integers(0, 3_599), st.floats(0.02, 1e5), st.integers(0, 25)), max_size=60))
def test_whatever_was_measured_stays_within_the_box(measured: list[tuple[int, float, int]]) -> None:
    found = drawn(*(at(NOW - ago, rtt_ms=rtt, lost=lost) for ago, rtt, lost in measured))
    text = found.outer + found.inner + "".join(path for _, path in found.lines)
    assert all(0 <= float(number) <= 1000 for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", text))
    assert all(4 <= height <= 30 for *_, height in found.ticks)


def test_changes_of_path_and_of_answers_are_flags_and_nothing_else_is() -> None:
    over = smoke.window(HOUR, 60, NOW)

    def changed(**figures: object) -> StoredReading:
        return StoredReading(7, int(NOW) - 1_800, SlotState.DONE, NOW, "", "passed", figures)

    hops = [{"ttl": 1}, {"ttl": 2}]
    found = smoke.flags(
        [
            changed(path={"changed": True, "hops": hops}),
            changed(path={"changed": True, "hops": "many"}),
            changed(changed=True),
            changed(path={"changed": None}, other={"changed": True}),
        ],
        over,
    )
    assert [flag.says.partition(", 15")[0] for flag in found[7]] == [
        "New path, 2 hops",
        "New path",
        "Other answers than before",
    ]
    assert found[7][0].left == pytest.approx(50, abs=2)
