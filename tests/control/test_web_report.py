"""The report: whole days, exact percentiles, and nothing where nothing was measured."""

from __future__ import annotations

import msgspec

from callwright.control.monitors.history import tally
from callwright.control.monitors.model import SlotState, StoredReading
from callwright.control.monitors.sense import blank
from callwright.control.web.report import line_of
from tests.control.test_alerts import Platform
from tests.control.test_web_alerts import platform, read, web  # noqa: F401
from tests.control.test_web_pages import Web

ENDPOINT = msgspec.structs.replace(blank(), id=1, name="trunk", alert_threshold=4.0)


def reading(slot: int, mos: float | None, state: SlotState = SlotState.DONE) -> StoredReading:
    figures = {"sent": 25, "lost": 0 if state is SlotState.DONE else 25} | (
        {} if mos is None else {"mos": mos}
    )
    return StoredReading(1, slot, state, float(slot), "", "passed", figures)


def test_a_failed_test_is_neither_answered_nor_good() -> None:
    during = [reading(n, 4.4) for n in range(6)] + [reading(6, 3.9), reading(7, 3.9)]
    during += [reading(n, None, SlotState.FAILED) for n in (8, 9)]
    during += [reading(n, None, SlotState.MISSED) for n in (10, 11)]
    line = line_of(ENDPOINT, tally(during), tally([reading(0, 4.1)]), 60.0)
    assert (line.tested, line.answered, line.good, line.missed) == (10, 80.0, 60.0, 2)
    assert (line.mos, line.worst, line.before, line.loss) == (4.4, 3.9, 4.1, 20.0)


def test_what_was_not_measured_has_no_figure() -> None:
    line = line_of(ENDPOINT, tally([]), tally([]), 0.0)
    assert (line.answered, line.good, line.mos, line.before, line.loss, line.rtt) == (None,) * 6
    registered = line_of(
        ENDPOINT, tally([StoredReading(1, 0, SlotState.DONE, 0.0, "", "passed", {})]), tally([]), 0
    )
    assert (registered.answered, registered.good) == (100.0, None)


async def test_a_report_has_whole_days_and_the_incidents_of_them(web: Web, platform: Platform) -> None:  # noqa: F811
    assert "Nothing is monitored yet." in await read(web, "/monitoring/report")
    await platform.set_up(2, 2)
    await platform.minutes(3, "..", "..")
    await platform.minutes(6, "x.", "x.")
    await platform.minutes(6, "..", "..")
    page = await read(web, "/monitoring/report?days=1")
    assert "Nothing was measured in a day." in page, "today is not over"
    platform.clock.advance(86_400)
    page = await read(web, "/monitoring/report?days=1")
    assert "e0 was not well for" in page
    assert "e0 was bad from every server that tests it" in page
    assert "60 %" in page
    assert "e1 30 100 % 100 % 4.40 4.40" in page
    earlier = await read(web, "/monitoring/report?days=7&to=2020-01-01&project=nowhere")
    assert "Nothing was measured in 7 days." in earlier
    assert (await web.get("/monitoring/report?days=x&to=never")).status_code == 200
