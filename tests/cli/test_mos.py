from __future__ import annotations

import json
from typing import Any

import pytest

from callwright.cli.main import run


def document(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["mos", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_the_defaults_are_g711_with_concealment_on_a_perfect_line(capfd: pytest.CaptureFixture[str]) -> None:
    found = document(capfd)
    assert found["r"] == pytest.approx(93.2062, abs=1e-4)
    assert found["mos"] == pytest.approx(4.4094, abs=1e-4)
    assert (found["ie"], found["bpl"], found["band"], found["scale"]) == (0, 25.1, "Excellent", "nb")
    assert found["provisional"] is False


def test_concealment_can_be_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    found = document(capfd, "--codec", "G711", "--no-plc", "--loss", "5")
    assert (found["bpl"], found["r"]) == (4.3, pytest.approx(42.1309, abs=1e-4))


def test_the_echo_convention_is_chosen_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    with_echo = document(capfd, "--delay", "400")
    without = document(capfd, "--delay", "400", "--no-echo")
    assert (with_echo["r"], with_echo["echo"]["tr_ms"]) == (pytest.approx(62.25, abs=0.005), 800)
    assert (without["r"], without["echo"]["tr_ms"]) == (pytest.approx(69.14, abs=0.005), 0)


def test_ie_and_bpl_stand_in_for_a_codec(capfd: pytest.CaptureFixture[str]) -> None:
    found = document(capfd, "--ie", "5", "--bpl", "15", "--scale", "wb", "--delay", "150", "--loss", "1")
    assert found["r"] == pytest.approx(116.796331, abs=1e-4)
    assert (found["codec"], found["provisional"]) == (None, False)


def test_causes_sum_to_the_mos_that_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    found = document(capfd, "--codec", "G729", "--delay", "250", "--loss", "3", "--burst-ratio", "1.5")
    assert sum(found["causes"].values()) == pytest.approx(found["lost_mos"], abs=1e-5)
    assert found["causes"]["delay"] > 0


def test_values_that_the_itu_has_not_published_are_provisional(capfd: pytest.CaptureFixture[str]) -> None:
    assert document(capfd, "--codec", "opus")["provisional"] is True
    assert document(capfd, "--codec", "G722", "--scale", "wb")["provisional"] is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--loss", "101"], "0 to 100 %"),
        (["--loss", "nan"], "0 to 100 %"),
        (["--loss", "much"], "--loss"),
        (["--delay", "-1"], "at least 0 ms"),
        (["--burst-ratio", "0.5"], "at least 1"),
        (["--ie", "11"], "go together"),
        (["--ie", "96", "--bpl", "1"], "0 to 95"),
        (["--codec", "speex"], "there is G711"),
        (["--scale", "fb"], "--scale"),
    ],
)
def test_what_cannot_be_is_a_usage_error_that_says_what_can(
    arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert says in document(capfd, *arguments, code=2)["reason"]


def test_a_person_gets_a_table_and_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["mos", "--codec", "opus", "--delay", "300", "--loss", "30", "-v", "--trace-sip"]) == 0
    shown = capfd.readouterr().out
    for part in ("MOS", "Ie,eff", "Bpl 10", "Provisional", "Bad: words are lost", "Ro", "beyond the 20 %"):
        assert part in shown
