"""What may be dialled: numbers as people write them, and addresses that only look like numbers."""

from __future__ import annotations

import pytest

from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario

OPTIONS = "name: test\nsteps:\n  - - options: {{destination: {written}}}\n"
CALL = "name: test\ntarget: pbx.test\nsteps:\n  - - call: {{dial_destination: {written}}}\n"


def only_destination(scenario: Scenario) -> str:
    ((_, uri),) = scenario.destinations()
    return uri


@pytest.mark.parametrize("written", ["127.0.0.2", "10.1.2.3"])
def test_an_ipv4_address_keeps_its_dots(written: str) -> None:
    assert only_destination(load(OPTIONS.format(written=written))) == f"sip:{written}"


@pytest.mark.parametrize(
    ("written", "dialled"),
    [("0043.12-3", "0043123"), ("+43 1 234", "+431234"), ("(01) 23/45", "012345"), ("1.2.3", "123")],
)
def test_a_number_is_dialled_without_what_people_put_into_it(written: str, dialled: str) -> None:
    assert only_destination(load(CALL.format(written=written))) == f"sip:{dialled}@pbx.test"
