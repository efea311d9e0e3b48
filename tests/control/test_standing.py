"""Whether an endpoint is good now: no data is never good, and the quorum of servers decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callwright.control.monitors.model import VoipTest
from callwright.control.monitors.sense import blank, first
from callwright.control.monitors.standing import Standing, health, sight

NOW = 1_700_000_000.0
ENDPOINT = msgspec.structs.replace(blank(), id=1, name="trunk", ip_address="10.0.0.1")


def seen(server: int = 1, *, ago: int = 30, state: str = "done", **more: Any) -> VoipTest:
    known: dict[str, Any] = {"slot": int(NOW) - ago, "state": state, "figures": {"mos": 4.4}, **more}
    return msgspec.structs.replace(first(1, server, 0.0), id=server, **known)


@pytest.mark.parametrize(
    ("test", "standing", "words"),
    [
        (seen(), Standing.GOOD, ""),
        (seen(figures={"mos": 3.5}), Standing.BAD, "MOS 3.50 is below 3.6."),
        (seen(figures={}), Standing.GOOD, ""),
        (seen(state="failed", figures={}, reason="No answer."), Standing.BAD, "No answer."),
        (seen(state="missed", figures={}, reason="cut off"), Standing.NO_DATA, "cut off"),
        (seen(state="unknown", figures={}), Standing.NO_DATA, "Nobody knows"),
        (seen(verdict="invalid"), Standing.NO_DATA, "spoilt"),
        (seen(ago=151), Standing.NO_DATA, "Nothing came for two intervals"),
        (first(1, 1, 0.0), Standing.NO_DATA, "Not tested yet."),
    ],
)
def test_a_server_says_what_its_newest_slot_came_to(test: VoipTest, standing: Standing, words: str) -> None:
    found = sight(ENDPOINT, test, NOW)
    assert found.standing is standing
    assert words in found.reason


def test_the_threshold_of_the_endpoint_decides_what_a_mos_is_worth() -> None:
    strict = msgspec.structs.replace(ENDPOINT, alert_threshold=4.2)
    test = seen(figures={"mos": 4.1})
    assert sight(ENDPOINT, test, NOW).standing is Standing.GOOD
    assert sight(strict, test, NOW).standing is Standing.BAD


@pytest.mark.parametrize(
    ("marks", "standing"),
    [
        ("", Standing.NO_DATA),
        ("-", Standing.NO_DATA),
        (".-", Standing.GOOD),
        ("x-", Standing.BAD),
        ("x.", Standing.BAD),
        ("x..", Standing.GOOD),
        ("xx.--", Standing.BAD),
    ],
)
def test_half_of_the_servers_that_have_something_to_say_decide(marks: str, standing: Standing) -> None:
    kinds: dict[str, Any] = {".": {}, "x": {"state": "failed"}, "-": {"state": "missed"}}
    tests = [seen(number, **kinds[mark]) for number, mark in enumerate(marks, 1)]
    assert health(ENDPOINT, tests, [], NOW).standing is standing


def test_an_alert_that_fires_makes_it_bad_whatever_was_seen_last() -> None:
    found = health(ENDPOINT, [seen()], ["Head office sounds bad"], NOW)
    assert (found.standing, found.reason) == (Standing.BAD, "Alert: Head office sounds bad.")


def test_a_cancelled_voip_test_has_no_say() -> None:
    gone = msgspec.structs.replace(seen(2, state="failed"), deleted_at=NOW)
    assert health(ENDPOINT, [seen(1), gone], [], NOW).standing is Standing.GOOD
