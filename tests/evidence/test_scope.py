from __future__ import annotations

import dataclasses

import pytest

from callwright.evidence.charts import Axis, curve, wave_path
from callwright.evidence.figures import milliseconds, octets, percent
from callwright.evidence.scope import build_scope
from callwright.evidence.waveform import Waveform
from callwright.outcome.call import CallOutcome
from tests.evidence.sample import STARTED, calls


@pytest.mark.parametrize(
    ("seconds", "end", "ticks"), [(18.9, 20, 5), (0.31, 0.4, 5), (4.02, 5, 6), (61, 75, 6), (5000, 5400, 4)]
)
def test_an_axis_is_round_and_holds_everything(seconds: float, end: float, ticks: int) -> None:
    axis = Axis.to(seconds)
    assert axis.end == pytest.approx(end)
    assert axis.end >= seconds
    assert len(axis.ticks) == ticks
    assert axis.ticks[-1][1].endswith(" s")


def test_a_curve_is_interrupted_where_nothing_is_known() -> None:
    assert curve([(0, 1.0), (10, 2.0), (20, None), (30, 3.0)]) == "M0 1L10 2M26 3L34 3"
    assert curve([]) == ""


def test_silence_is_not_blown_up_to_look_like_speech() -> None:
    assert wave_path((0.001,), 0, 100) == "M50 22.4L50 23.6Z"


def test_a_call_that_hears_nothing_says_for_how_long() -> None:
    scope = build_scope([("Alice", calls()[0]), ("Bob", calls()[1])], STARTED, {}, 3.5)
    assert scope is not None
    alice, bob = scope.states
    assert not alice.alarm
    assert bob.alarm
    assert [span.text for span in bob.spans][-1] == "Talking, hears nothing"
    assert bob.summary == "11.9 s deaf"


def test_each_direction_has_its_group_and_its_colour() -> None:
    scope = build_scope([("Alice", calls()[0]), ("Bob", calls()[1])], STARTED, {}, 3.5)
    assert scope is not None
    assert [(group.title, group.kind) for group in scope.groups] == [
        ("To Alice", "receive"),
        ("From Alice", "send"),
        ("To Bob", "send"),
        ("From Bob", "receive"),
    ]


def test_what_was_not_measured_is_a_gap_with_a_reason() -> None:
    scope = build_scope([("Bob", calls()[1])], STARTED, {}, 3.5)
    assert scope is not None
    mos = scope.groups[0].plots[0]
    assert [gap.text for gap in mos.gaps] == ["no packet, so nothing to rate"]
    assert mos.gaps[0].left + mos.gaps[0].width <= 18.93 / scope.axis.end * 100


def test_a_recording_is_drawn_in_the_direction_of_its_channel() -> None:
    wave = Waveform(2.0, ((0.5,) * 50, (0.1,) * 50))
    scope = build_scope([("Alice", calls()[0])], STARTED, {"call-1": ("stereo", wave)}, 3.5)
    assert scope is not None
    received, sent = (group.plots[-1] for group in scope.groups)
    assert received.name == sent.name == "Audio"
    assert received.wave
    assert sent.wave
    assert (received.summary, sent.summary) == ("−22 dBFS", "recorded")


def test_calls_that_never_began_have_no_axis() -> None:
    assert build_scope([("x", CallOutcome())], STARTED, {}, 3.5) is None
    assert (
        build_scope([("x", dataclasses.replace(CallOutcome(), started_at=STARTED))], STARTED, {}, 3.5) is None
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.44, "0.4 ms"),
        (352, "352 ms"),
        (2569.4, "2.569 s"),
        (16450, "16.4 s"),
        (243000, "4 min 3 s"),
    ],
)
def test_milliseconds_are_written_as_people_say_them(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


def test_shares_and_sizes_have_no_needless_digits() -> None:
    assert [percent(v) for v in (0, 0.25, 3.1, 74.04, 100, None)] == [
        "0 %",
        "0.25 %",
        "3.1 %",
        "74 %",
        "100 %",
        "–",
    ]
    assert [octets(v) for v in (999, 14_200, 1_400_000)] == ["999 B", "14 kB", "1.4 MB"]
