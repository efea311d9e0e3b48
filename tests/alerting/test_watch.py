"""The machine that watches an endpoint for a rule, in virtual time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.alerting.condition import ConditionError, parse
from callwright.alerting.retest import parse_levels, written
from callwright.alerting.watch import EventKind, Reading, Rule, State, Watch, hear, judge, state_of

BEGIN = 1_000_000.0


class Wall:
    """A minute is a slot; each server is given a MOS, None: nobody answers, or a state that says nothing."""

    def __init__(self, text: str, recovery: str | None = None, reminder: float | None = None) -> None:
        recover = parse(recovery) if recovery else None
        self.rule = Rule(parse(text), recover, 3.9, 60.0, reminder)
        self.watch, self.now, self.told = Watch(BEGIN), BEGIN, list[tuple[float, str]]()
        self.servers: tuple[int, ...] = ()

    def minute(self, *values: float | str | None, muted: bool = False, times: int = 1) -> list[str]:
        """What was told in these minutes."""
        before = len(self.told)
        for _ in range(times):
            self.now += 60
            self.servers = tuple(range(len(values)))
            for server, value in enumerate(values):
                if value == "silent":
                    continue
                state = value if isinstance(value, str) else "failed" if value is None else "done"
                figures = {"mos": value} if isinstance(value, float) else {}
                self.watch = hear(self.watch, self.rule, Reading(server, self.now, state, "", figures))
            self.watch = msgspec.json.decode(msgspec.json.encode(self.watch), type=Watch)  # a restart
            self.watch, events = judge(self.watch, self.rule, self.servers, self.now, muted=muted)
            self.told += [((self.now - BEGIN) / 60, str(event.kind)) for event in events]
        return [kind for _, kind in self.told[before:]]

    def state(self, *, muted: bool = False) -> State:
        return state_of(self.watch, self.rule, self.servers, self.now, muted=muted)


def test_it_fires_once_the_condition_has_held_on_enough_servers_and_ends_when_it_has_not() -> None:
    wall = Wall("mos < 3.9 for 3m on 2 of 3 servers")
    assert wall.minute(4.4, 4.4, 4.4, times=5) == []
    assert wall.state() is State.QUIET
    assert wall.minute(3.0, 3.0, 4.4, times=3) == []
    assert wall.state() is State.PENDING
    assert wall.minute(3.0, 3.0, 4.4, times=9) == ["fired"]
    assert wall.state() is State.FIRING
    assert wall.minute(4.4, 4.4, 4.4, times=3) == []
    assert wall.minute(4.4, 4.4, 4.4, times=9) == ["recovered"]
    assert [minute for minute, _ in wall.told] == [9, 21]


def test_one_bad_server_of_three_is_not_enough() -> None:
    wall = Wall("mos < 3.9 for 3m on 2 of 3 servers")
    assert wall.minute(None, 4.4, 4.4, times=60) == []
    assert wall.state() is State.PENDING


def test_flapping_that_never_lasts_is_not_told() -> None:
    wall = Wall("mos < 3.9 for 3m")
    for _ in range(30):
        assert wall.minute(3.0, times=3) == []
        assert wall.minute(4.4) == []


def test_flapping_while_it_fires_is_one_incident() -> None:
    wall = Wall("mos < 3.9 for 3m")
    wall.minute(3.0, times=4)
    for _ in range(30):
        wall.minute(4.4, times=3)
        wall.minute(3.0)
    assert [kind for _, kind in wall.told] == ["fired"]


def test_its_own_condition_says_when_it_is_over() -> None:
    wall = Wall("mos < 3.9", recovery="mos >= 4.2 for 2m")
    assert wall.minute(3.0) == ["fired"]
    assert wall.minute(4.0, times=10) == []
    assert wall.minute(4.3, times=3) == ["recovered"]


def test_readings_that_say_nothing_neither_begin_nor_end_anything() -> None:
    wall = Wall("mos < 3.9 for 3m")
    wall.minute(3.0, times=2)
    assert wall.minute("missed", "unknown") == []
    wall = Wall("unreachable for 2m")
    wall.minute(None, times=2)
    assert wall.minute("missed") == []
    assert wall.minute(None) == ["fired"]
    assert wall.minute("missed", times=60) == []
    assert wall.state() is State.FIRING


def test_a_server_that_fell_silent_while_it_was_bad_does_not_raise_an_alarm_later() -> None:
    wall = Wall("mos < 3.9 for 3m on 2 servers")
    wall.minute(3.0, 4.4, times=5)
    assert wall.minute("silent", 3.0, times=20) == []
    assert wall.state() is State.PENDING


def test_no_data_is_never_quiet() -> None:
    wall = Wall("mos < 3.9 for 3m")
    assert wall.minute("silent", times=3) == []
    assert wall.state() is State.NEVER
    wall.minute(4.4)
    wall.minute("silent", times=4)
    assert wall.state() is State.NO_DATA


def test_no_data_can_be_what_an_alert_is_about() -> None:
    wall = Wall("no data for 10m")
    wall.minute(4.4, times=3)
    assert wall.minute("silent", times=9) == []
    assert wall.minute("silent") == ["fired"]
    assert wall.minute("missed", times=5) == []
    assert wall.minute(None) == ["recovered"]


def test_in_maintenance_nothing_begins_and_what_is_still_wrong_is_told_after_it() -> None:
    wall = Wall("mos < 3.9 for 3m", reminder=600)
    assert wall.minute(3.0, times=20, muted=True) == []
    assert wall.state(muted=True) is State.SNOOZED
    assert wall.minute(3.0) == ["fired"]
    assert wall.minute(3.0, times=20, muted=True) == []
    assert wall.minute(4.4, times=4, muted=True) == ["recovered"]


def test_an_incident_that_goes_on_is_told_again_after_the_reminders_time() -> None:
    wall = Wall("unreachable", reminder=600)
    assert wall.minute(None) == ["fired"]
    assert wall.minute(None, times=30) == ["reminded"] * 3


def test_the_endpoints_threshold_stands_in_for_the_limit() -> None:
    assert Wall("mos < threshold").minute(3.8) == ["fired"]
    assert Wall("mos < threshold").minute(4.0) == []


def test_a_server_that_tests_it_no_more_has_no_say() -> None:
    wall = Wall("unreachable on 2 servers")
    assert wall.minute(None, None) == ["fired"]
    assert wall.minute(None, times=2) == []
    assert wall.minute(4.4) == ["recovered"]


@given(
    st.lists(st.tuples(st.sampled_from([3.0, 4.4, None, "missed", "silent"]), st.booleans()), max_size=80),
    st.sampled_from(
        ["mos < 3.9 for 3m", "unreachable", "no data for 4m", "mos < 3.9 for 2m on 1 of 2 servers"]
    ),
)
def test_what_is_told_alternates_and_agrees_with_the_state(
    minutes: list[tuple[float | str | None, bool]], text: str
) -> None:
    wall = Wall(text)
    for value, muted in minutes:
        wall.minute(value, muted=muted)
        assert (wall.state() is State.FIRING) == (len(wall.told) % 2 == 1)
    kinds = [kind for _, kind in wall.told]
    assert kinds[::2] == [EventKind.FIRED] * len(kinds[::2])
    assert kinds[1::2] == [EventKind.RECOVERED] * len(kinds[1::2])


@given(st.lists(st.sampled_from([3.0, 4.4, None]), max_size=30), st.data())
def test_readings_that_come_again_change_nothing(values: list[float | None], data: st.DataObject) -> None:
    rule = Rule(parse("mos < 3.9 for 3m"))
    readings = [
        Reading(
            0, BEGIN + 60 * n, "failed" if mos is None else "done", "", {} if mos is None else {"mos": mos}
        )
        for n, mos in enumerate(values)
    ]
    once = again = Watch(BEGIN)
    for n, reading in enumerate(readings):
        once, again = hear(once, rule, reading), hear(again, rule, reading)
        again = hear(again, rule, readings[data.draw(st.integers(0, n))])
        assert once == again


class Retested(Wall):
    """Each second is looked at; `answers` are given to the re-tests that are asked for, a value for each."""

    def __init__(self, text: str, levels: str) -> None:
        super().__init__(text)
        self.rule = msgspec.structs.replace(self.rule, retests=parse_levels(levels))
        self.asked: list[tuple[int, ...]] = []

    def seconds(self, count: int, *answers: float | None) -> list[str]:
        """Two seconds after it is asked for, a re-test is heard from all that it names."""
        before, given = len(self.told), list(answers)
        on = self.watch.retest
        due = (self.now + 2, on.slot, on.servers) if on is not None and given else None
        for _ in range(count):
            self.now += 1
            if due is not None and self.now >= due[0]:
                value = given.pop(0)
                state, figures = ("failed", {}) if value is None else ("done", {"mos": value})
                for server in due[2]:
                    reading = Reading(server, float(due[1]), state, "", figures)
                    self.watch = hear(self.watch, self.rule, reading)
                due = None
            self.watch = msgspec.json.decode(msgspec.json.encode(self.watch), type=Watch)  # a restart
            self.watch, events = judge(self.watch, self.rule, self.servers, self.now)
            for event in events:
                if event.kind is EventKind.RETEST and self.watch.retest is not None:
                    self.asked.append(event.servers)
                    due = (self.now + 2, self.watch.retest.slot, event.servers) if given else None
                else:
                    self.told.append((self.now - BEGIN, str(event.kind)))
        return [kind for _, kind in self.told[before:]]


def test_an_alert_fires_once_every_level_of_retests_has_confirmed_it() -> None:
    wall = Retested("mos < 3.9", "2 every 10s; 1 every 20s on all servers")
    assert wall.minute(4.4, 4.4, 4.4) == []
    assert wall.minute(3.0, 4.4, 4.4) == ["retest"]
    wall.told.clear()
    first = wall.watch.retest
    assert first is not None
    assert first.servers == (0,)
    assert wall.seconds(30, 3.0, 3.0, None) == ["fired"]
    assert wall.asked == [(0,), (0, 1, 2)]
    assert wall.watch.retest is None


def test_the_first_good_retest_ends_them_and_nothing_is_told() -> None:
    wall = Retested("mos < 3.9", "3 every 10s")
    wall.minute(3.0, 4.4)
    wall.told.clear()
    assert wall.seconds(11, 4.4) == []
    assert wall.seconds(60) == []
    assert wall.watch.retest is None
    assert wall.asked == []
    assert wall.state() is State.QUIET


def test_retests_that_nobody_answers_do_not_hold_up_the_alert_for_ever() -> None:
    wall = Retested("unreachable", "2 every 10s")
    wall.minute(None)
    wall.told.clear()
    assert wall.seconds(110) == []
    assert wall.state() is State.PENDING
    assert wall.seconds(20) == ["fired"]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2", 0),
        ("2 every 20s; x", 13),
        ("0 every 20s", 0),
        ("11 every 20s", 0),
        ("2 every 5s", 0),
        ("2 every 2h", 0),
        ("1 every 10s;" * 4 + "1 every 10s", 48),
        ("2 every 20s on some servers", 0),
        (";", 0),
    ],
)
def test_levels_that_cannot_be_read_say_where(text: str, at: int) -> None:
    with pytest.raises(ConditionError) as refused:
        parse_levels(text)
    assert refused.value.at == at


def test_levels_are_written_as_they_are_read() -> None:
    text = "2 every 20s; 3 every 1m on all servers"
    assert (
        written(parse_levels(text))
        == text
        == written(parse_levels("2 every 20 S ;3 every 60s on ALL server"))
    )
    assert parse_levels(" ") == ()
