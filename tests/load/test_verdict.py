"""Thresholds and the verdict of a load."""

from __future__ import annotations

import pytest

from callwright.load.verdict import ThresholdError, judge, parse_goal, parse_threshold
from tests.load.test_statistics import snapshot

GOOD = snapshot({"attempted": 1000, "answered": 1000}, pdd=[100_000] * 1000)
ONE_FAILED = snapshot({"attempted": 1000, "answered": 999, "timeout": 1}, pdd=[100_000] * 999)


def test_without_thresholds_one_failed_call_fails_the_load() -> None:
    judgement = judge(ONE_FAILED, ONE_FAILED, seconds=10)
    assert (judgement.verdict, judgement.blame) == ("failed", "target")
    assert "1 of 1,000" in judgement.reason
    assert "timeout" in judgement.reason


def test_with_thresholds_only_they_decide() -> None:
    limits = [parse_threshold("failed>0.1%"), parse_threshold("pdd_p99>500ms")]
    assert judge(ONE_FAILED, ONE_FAILED, fail_if=limits, seconds=10).verdict == "passed"
    assert judge(ONE_FAILED, ONE_FAILED, fail_if=[parse_threshold("failed>=0.1%")]).verdict == "failed"


def test_a_missing_call_is_never_a_success() -> None:
    missing = snapshot({"attempted": 1000, "answered": 999})
    assert judge(missing, missing).verdict == "error"


def test_no_call_at_all_is_no_success() -> None:
    assert judge(snapshot(), snapshot()).verdict == "failed"


def test_a_threshold_on_what_was_not_measured_is_no_success() -> None:
    assert judge(GOOD, GOOD, fail_if=[parse_threshold("mos_p5<3.8")]).verdict == "failed"


def test_a_failure_that_happened_only_while_we_were_the_bottleneck_is_invalid() -> None:
    judgement = judge(ONE_FAILED, GOOD, seconds=20, limited=["5 datagrams dropped by our sockets"])
    assert (judgement.verdict, judgement.blame) == ("invalid", "platform")
    assert "could not keep up" in judgement.reason


def test_a_failure_in_clean_seconds_stands_though_one_second_was_limited() -> None:
    assert judge(ONE_FAILED, ONE_FAILED, seconds=20, limited=["calls were placed late"]).verdict == "failed"


def test_what_the_target_refused_stands_however_late_we_were() -> None:
    refused = snapshot({"attempted": 10, "answered": 7, "status": 3}, {403: 3})
    assert judge(refused, snapshot(), seconds=1, limited=["calls were placed late"]).verdict == "failed"


@pytest.mark.parametrize(
    ("codes", "limits", "blame"),
    [
        ({415: 3}, [], None),
        ({488: 2, 415: 1}, ["failed>0"], None),
        ({606: 3}, ["answered<10"], None),
        ({415: 2, 503: 1}, [], "target"),
        ({503: 3}, [], "target"),
        ({415: 3}, ["failed>0", "pdd_max>50ms"], "target"),  # what was answered was late as well
    ],
)
def test_refusals_of_what_we_offered_blame_nobody_as_in_a_single_call(
    codes: dict[int, int], limits: list[str], blame: str | None
) -> None:
    refused = snapshot({"attempted": 10, "answered": 7, "status": 3}, codes, pdd=[100_000] * 7)
    judgement = judge(refused, refused, fail_if=[parse_threshold(text) for text in limits])
    assert (judgement.verdict, judgement.blame) == ("failed", blame)


def test_many_limited_seconds_make_even_a_success_invalid() -> None:
    assert judge(GOOD, GOOD, seconds=20, limited=["late"] * 3).verdict == "invalid"


def test_an_interrupted_load_is_canceled_and_nobody_is_to_blame() -> None:
    judgement = judge(GOOD, GOOD, interrupted=True)
    assert (judgement.verdict, judgement.blame) == ("canceled", None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pdd_p99<1s", 100),
        ("pdd_mean<90ms", 100),
        ("asr>=99.5%", 99.9),
        ("failed>0.1%", 0.1),
        ("failed>3", 1),
    ],
)
def test_conditions_are_measured_in_the_unit_they_are_written_in(text: str, value: float) -> None:
    assert parse_threshold(text).value(ONE_FAILED) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pdd",
        "pdd_p99",
        "foo>1",
        "pdd_p99>5%",
        "mos_p5<3%",
        "failed>1ms",
        "failed_p5>1",
        "pdd_p101>1",
        "asr>1.2.3",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ThresholdError):
        parse_threshold(text)


def test_a_goal_has_several_conditions() -> None:
    assert [t.metric for t in parse_goal("asr>=99.5% pdd_p95<250ms mos_p5>=4.0")] == ["asr", "pdd", "mos"]
