"""A rule over stored readings tells what it would have told as they came."""

from __future__ import annotations

from typing import Any

import pytest

from callwright.alerting.condition import parse
from callwright.alerting.rehearsal import rehearse
from callwright.alerting.watch import EventKind, Reading, Rule, Watch, hear, judge

MINUTE = 60.0
SINCE = 1_700_006_400.0


def rule(text: str, **more: Any) -> Rule:
    return Rule(parse(text), interval=MINUTE, **more)


def readings(*rows: str) -> list[Reading]:
    """A row is a server, a character a minute: `.` good, `x` bad, `-` nothing came, `!` failed."""
    found = []
    for server, row in enumerate(rows, 1):
        for minute, mark in enumerate(row):
            if mark == "-":
                continue
            state = "failed" if mark == "!" else "done"
            figures = {} if mark == "!" else {"mos": 4.4 if mark == "." else 3.0}
            found.append(Reading(server, SINCE + minute * MINUTE, state, "", figures))
    return found


def over(row: str) -> float:
    return SINCE + len(row) * MINUTE


def test_each_alert_has_its_begin_its_end_and_its_worst_value() -> None:
    row = "....xxxxx.......!!!!...."
    found = rehearse(rule("mos < 3.9 for 2m"), readings(row), [1], SINCE, over(row))
    first, second = found.fired
    assert (first.began, first.ended) == (SINCE + 6 * MINUTE, SINCE + 11 * MINUTE)
    assert (first.worst, second.worst, second.servers) == (3.0, 1.0, 1)


def test_what_was_too_short_is_told_as_a_near_miss() -> None:
    row = "...xx......"
    found = rehearse(rule("mos < 3.9 for 3m"), readings(row), [1], SINCE, over(row))
    assert found.fired == ()
    (near,) = found.near
    assert (near.began, near.ended, near.muted) == (SINCE + 3 * MINUTE, SINCE + 5 * MINUTE, False)


def test_maintenance_keeps_it_quiet_and_says_so() -> None:
    row = "..xxxxxx...."
    quiet = rehearse(
        rule("mos < 3.9 for 2m"), readings(row), [1], SINCE, over(row), muted=lambda now: now < SINCE + 600
    )
    assert quiet.fired == ()
    assert [one.muted for one in quiet.near] == [True]


def test_the_quorum_decides_by_the_second_lowest_of_three() -> None:
    rows = ("...xxxx...", "....xxx...", "..........")
    found = rehearse(
        rule("mos < 3.9 for 1m on 2 of 3 servers"), readings(*rows), [1, 2, 3], SINCE, over(rows[0])
    )
    assert len(found.fired) == 1
    assert found.fired[0].servers == 2
    assert [value for _, value in found.values[:5]] == [4.4, 4.4, 4.4, 4.4, 3.0]


def test_silence_is_judged_though_nothing_came() -> None:
    row = "...------------..."
    found = rehearse(rule("no data for 5m"), readings(row), [1], SINCE, over(row))
    (fired,) = found.fired
    assert fired.ended == SINCE + 15 * MINUTE
    assert any(
        value is None for _, value in rehearse(rule("mos < 3"), readings(row), [1], SINCE, over(row)).values
    )


def test_an_alert_that_goes_on_has_no_end() -> None:
    row = "..xxxxx"
    (fired,) = rehearse(rule("mos < 3.9 for 2m"), readings(row), [1], SINCE, over(row)).fired
    assert fired.ended is None


@pytest.mark.parametrize("text", ["mos < 3.9 for 2m", "mos < 3.9 on 2 servers", "unreachable for 1m"])
def test_it_tells_what_the_machine_tells_when_readings_come_one_by_one(text: str) -> None:
    rows = ("..xxx.!!!..x.xx-----xxxx..", ".xx.xxxx!!..x.xx--xxx.....")
    judged, watch, told = rule(text), Watch(SINCE), []
    by_minute: dict[float, list[Reading]] = {}
    for one in readings(*rows):
        by_minute.setdefault(one.slot, []).append(one)
    for minute in range(len(rows[0])):
        now = SINCE + minute * MINUTE
        for one in by_minute.get(now, ()):
            watch = hear(watch, judged, one)
        watch, events = judge(watch, judged, [1, 2], now)
        told += [event.at for event in events if event.kind is EventKind.FIRED]
    found = rehearse(judged, readings(*rows), [1, 2], SINCE, over(rows[0]))
    assert [one.began for one in found.fired] == told
    assert told
