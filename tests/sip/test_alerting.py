"""Requests of PBXs that a phone answer by itself, as they are made in the wild."""

from __future__ import annotations

import pytest

from callwright.sip.alerting import answers_itself, asked_to_answer
from callwright.sip.headers import Headers


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ([("Call-Info", "<sip:pbx.test>;answer-after=0")], 0),
        ([("Call-Info", "<http://x/y.png>;purpose=icon, <sip:pbx>; Answer-After = 5")], 5),
        ([("Call-Info", "\\;answer-after=2")], 2),
        ([("Alert-Info", "<http://www.notused.com>;info=alert-autoanswer;delay=3")], 3),
        ([("Alert-Info", "info=alert-autoanswer")], 0),
        ([("Alert-Info", "Auto Answer"), ("Answer-Mode", "Auto")], 0),
        ([("Priv-Answer-Mode", "auto;require")], 0),
        (answers_itself("sip:pbx.test"), 0),
        ([], None),
        ([("Call-Info", "<sip:a;answer-after=0>;purpose=info")], None),
        ([("Call-Info", "<sip:a>;answer-after=soon")], None),
        ([("Call-Info", "<sip:a>;answer-after=99999999")], None),
        ([("Alert-Info", "<urn:alert:service:auto-callback>;info=ring")], None),
        ([("Answer-Mode", "Manual")], None),
    ],
)
def test_a_phone_is_asked_to_answer_in_each_way_and_by_nothing_else(
    fields: list[tuple[str, str]], seconds: float | None
) -> None:
    assert asked_to_answer(Headers(fields)) == seconds
