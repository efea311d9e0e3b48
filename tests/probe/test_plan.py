from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.probe.calendar import Calendar
from callwright.probe.plan import AWAY, CUT_OFF, MOST_MISSED, Begin, Missed, Planned, ProbePlan

UNIX = 1_800_000_000.0


class Agent:
    """A plan in virtual time, whose measurements take `seconds`. Monotonic 0 is `UNIX`."""

    def __init__(
        self, *planned: Planned, seconds: float = 3.0, decided: dict[int, int] | None = None
    ) -> None:
        self.now, self.seconds = 0.0, seconds
        self.plan = ProbePlan(UNIX, decided)
        self.begun: list[tuple[Begin, float]] = []
        self.missed: list[Missed] = []
        self._ends: list[tuple[float, Begin]] = []
        self.plan.hold(planned, self.now)
        self._drain()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [
                when for when in (self.plan.next_wake(), *(at for at, _ in self._ends)) if when is not None
            ]
            moment = min(due, default=end + 1)
            if moment > end:
                break
            self.now = max(self.now, moment)
            self.step()
        self.now = end

    def sleep(self, seconds: float) -> None:
        """Nothing wakes it meanwhile."""
        self.now += seconds
        self.step()

    def step(self) -> None:
        for one in [one for one in self._ends if one[0] <= self.now]:
            self._ends.remove(one)
            self.plan.finished(one[1].monitor_id, one[1].slot)
        self.plan.wake(self.now)
        self._drain()

    def _drain(self) -> None:
        for event in self.plan.events():
            if isinstance(event, Begin):
                self.begun.append((event, self.now))
                self._ends.append((self.now + self.seconds, event))
            else:
                self.missed.append(event)

    def decided(self, monitor_id: int = 1) -> list[int]:
        slots = [one.slot for one, _ in self.begun if one.monitor_id == monitor_id]
        return sorted(slots + [one.slot for one in self.missed if one.monitor_id == monitor_id])


MINUTE = Planned(1, 60, 17.25)


def test_slots_begin_at_their_starts_and_bear_their_whole_second() -> None:
    agent = Agent(MINUTE)
    agent.advance(300)
    assert [one.slot for one, _ in agent.begun] == [int(UNIX) + 17 + 60 * n for n in range(5)]
    assert [at for _, at in agent.begun] == pytest.approx([17.25 + 60 * n for n in range(5)])
    assert agent.missed == []


def test_a_measurement_that_lasts_longer_than_its_interval_makes_the_next_slot_missed() -> None:
    agent = Agent(Planned(1, 10, 0.0), seconds=14.0)
    agent.advance(35)
    assert [one.slot - int(UNIX) for one, _ in agent.begun] == [0, 20]
    assert [(one.slot - int(UNIX), one.reason) for one in agent.missed] == [
        (10, "the slot before was still running"),
        (30, "the slot before was still running"),
    ]


def test_an_agent_that_slept_tells_the_slots_that_it_missed_and_begins_with_the_present_one() -> None:
    agent = Agent(MINUTE)
    agent.advance(30)
    agent.sleep(290)  # until 320; slots at 77, 137, 197, 257, 317
    assert [one.slot - int(UNIX) for one in agent.missed] == [77, 137, 197, 257]
    assert agent.begun[-1][0].slot - int(UNIX) == 317


def test_a_slot_that_would_begin_much_too_late_is_missed() -> None:
    agent = Agent(MINUTE)
    agent.sleep(17.25 + 11)
    assert agent.begun == []
    assert [one.reason for one in agent.missed] == ["this agent was asleep or too busy"]


def test_an_agent_that_was_away_for_long_tells_a_bounded_number() -> None:
    agent = Agent(Planned(1, 10, 0.0))
    agent.advance(5)
    agent.sleep(86_400)
    assert len(agent.missed) <= MOST_MISSED
    assert agent.missed[-1].slot > int(UNIX) + 86_000


def test_a_clock_that_is_set_back_an_hour_repeats_no_slot() -> None:
    agent = Agent(MINUTE)
    agent.advance(600)
    agent.plan.offset -= 3600
    agent.advance(7200)
    assert max(Counter(agent.decided()).values()) == 1


def test_a_clock_that_is_set_an_hour_ahead_makes_the_slots_between_missed() -> None:
    agent = Agent(MINUTE)
    agent.advance(600)
    agent.plan.offset += 3600
    agent.step()
    agent.advance(600)
    slots = agent.decided()
    assert slots == list(range(slots[0], slots[-1] + 1, 60))


def test_a_restart_repeats_no_slot_and_tells_those_of_the_time_between() -> None:
    agent = Agent(MINUTE, decided={1: int(UNIX) + 17 - 180})
    agent.step()
    assert [(one.slot - int(UNIX), one.reason) for one in agent.missed] == [(-103, AWAY), (-43, AWAY)]
    agent.advance(60)
    assert agent.begun[0][0].slot == int(UNIX) + 17


def test_the_dead_mans_switch_holds_calls_and_lets_pings_go_on() -> None:
    agent = Agent(Planned(1, 60, 0.0), Planned(2, 60, 0.0, guarded=True))
    agent.plan.cut_off = True
    agent.advance(150)
    assert {one.monitor_id for one, _ in agent.begun} == {1}
    assert {(one.monitor_id, one.reason) for one in agent.missed} == {(2, CUT_OFF)}
    agent.plan.cut_off = False
    agent.advance(60)
    assert {one.monitor_id for one, _ in agent.begun} == {1, 2}


def test_nothing_is_begun_while_everything_is_withheld() -> None:
    agent = Agent(MINUTE)
    agent.plan.withheld = "stopped by the kill switch"
    agent.advance(120)
    assert agent.begun == []
    assert {one.reason for one in agent.missed} == {"stopped by the kill switch"}


def test_a_new_plan_leaves_what_it_did_not_change() -> None:
    agent = Agent(MINUTE, Planned(2, 60, 5.0))
    agent.advance(40)
    agent.plan.hold([MINUTE, Planned(3, 60, 50.0)], agent.now)
    agent.advance(60)
    assert agent.decided(1) == [int(UNIX) + 17, int(UNIX) + 77]
    assert agent.decided(2) == [int(UNIX) + 5]
    assert agent.decided(3) == [int(UNIX) + 50]
    assert agent.missed == []


def test_an_order_is_measured_at_once_and_only_once() -> None:
    agent = Agent(MINUTE)
    agent.advance(30)
    slot = int(UNIX) + 30
    agent.plan.order(1, slot, agent.now)
    agent.plan.order(1, slot, agent.now)
    agent.step()
    assert [one.slot for one, _ in agent.begun] == [int(UNIX) + 17, slot]
    agent.plan.order(9, slot, agent.now)
    agent.step()
    assert agent.missed == [Missed(9, slot, "this agent does not hold the monitor")]


MONITORS = st.lists(
    st.builds(
        Planned,
        st.integers(1, 4),
        st.sampled_from([10, 60, 300, 3600]),
        st.floats(0, 9.99, allow_nan=False),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one.monitor_id,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.floats(0, 900)),
        st.tuples(st.just("sleep"), st.floats(0, 5000)),
        st.tuples(st.just("set"), st.floats(-4000, 4000)),
        st.tuples(st.just("plan"), MONITORS),
        st.tuples(st.just("switch"), st.booleans()),
        st.tuples(st.just("order"), st.integers(1, 4)),
    ),
    max_size=12,
)


@given(MONITORS, STEPS)
def test_no_slot_is_decided_twice_whatever_happens(
    first: list[Planned], steps: list[tuple[str, object]]
) -> None:
    agent = Agent(*first)
    for what, value in steps:
        match what, value:
            case "advance", float(seconds):
                agent.advance(seconds)
            case "sleep", float(seconds):
                agent.sleep(seconds)
            case "set", float(by):
                agent.plan.offset += by
            case "plan", list(planned):
                agent.plan.hold(planned, agent.now)
            case "switch", bool(cut_off):
                agent.plan.cut_off = cut_off
            case "order", int(monitor_id):
                agent.plan.order(monitor_id, int(agent.now + agent.plan.offset), agent.now)
                agent.step()
    told = Counter((one.monitor_id, one.slot) for one, _ in agent.begun)
    told += Counter((one.monitor_id, one.slot) for one in agent.missed if "does not hold" not in one.reason)
    assert all(count == 1 for count in told.values())


@given(
    st.sampled_from([10, 60, 3600]),
    st.floats(0, 9.99, allow_nan=False),
    st.lists(st.tuples(st.booleans(), st.floats(0, 2000)), max_size=8),
)
def test_every_slot_is_decided_while_the_calendar_is_left_alone(
    interval: int, phase: float, steps: list[tuple[bool, float]]
) -> None:
    planned = Planned(1, interval, phase)
    agent = Agent(planned)
    for asleep, seconds in steps:
        (agent.sleep if asleep else agent.advance)(seconds)
    agent.step()
    first = planned.number_from(UNIX)
    wanted = [planned.slot(n) for n in range(first, first + 3000) if planned.start(n) <= UNIX + agent.now]
    found = agent.decided()
    assert found == wanted[-len(found) :] if len(wanted) > MOST_MISSED else found == wanted


def test_a_platform_whose_clock_jumps_for_a_while_moves_nothing() -> None:
    calendar = Calendar(UNIX - 40)
    calendar.hear(UNIX, 0.0, 0.2)
    assert calendar.offset == pytest.approx(UNIX - 0.1)
    for second in range(10, 500, 5):
        calendar.hear(UNIX + second + 3600, second, second)
    calendar.hear(UNIX + 500, 500, 500)
    assert calendar.offset == pytest.approx(UNIX, abs=0.2)


def test_a_platform_whose_clock_stays_set_is_believed_after_ten_minutes() -> None:
    calendar = Calendar(UNIX)
    for second in range(0, 700, 5):
        calendar.hear(UNIX + second + (3600 if second else 0), second, second)
    assert calendar.offset == pytest.approx(UNIX + 3600)


def test_a_clock_that_drifts_is_followed_slowly() -> None:
    calendar = Calendar(UNIX)
    for second in range(0, 3600, 5):
        calendar.hear(UNIX + second * 1.0001, second, second)
    assert calendar.offset == pytest.approx(UNIX + 0.36, abs=0.06)
