"""Scenarios of SIPp as test documents: what they become is read by the test language, the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from callwright.scenario.document import load
from callwright.sipp.reading import read_scenario
from callwright.sipp.translation import CannotTranslate, translate

SCENARIOS = Path(__file__).parents[1] / "interop" / "sipp"


def document(name: str) -> dict[str, object]:
    text = (SCENARIOS / f"{name}.xml").read_text("latin-1").replace("@status@ @phrase@", "486 Busy Here")
    found = translate(read_scenario(text), name, "192.0.2.1:5080").document
    load(yaml.safe_dump(found, sort_keys=False))
    return found


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("uac", "call", {"dial_destination": "sip:service@192.0.2.1:5080", "max_duration": "1.2 s"}),
        ("uac_486", "call", {"expect": "code = 486"}),
        ("uac_cancel", "call", {"cancel_after": "0.3 s", "expect": "code = 487"}),
        ("uac_peer_hangs_up", "call", {"max_duration": "86400 s"}),
        ("uac_talk", "call", {"codecs": ["PCMA"], "headers": {"Subject": "Performance Test"}}),
        ("uas", "accept", {"max_total_calls": 1}),
        ("uas_reject", "accept", {"reject": 486}),
    ],
)
def test_a_call_becomes_an_action(name: str, kind: str, said: dict[str, object]) -> None:
    steps = document(name)["steps"]
    assert isinstance(steps, list)
    parameters = steps[0][0][kind]
    assert {key: parameters[key] for key in said} == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("uac_hold", "line 89: ereg is not in a document."),
        ("uas_auth", "next, test and chance lead elsewhere"),
        ("uac_no_ack", "not answered and acknowledged as a phone does it"),
    ],
)
def test_what_a_document_cannot_say_is_refused_with_its_line(name: str, said: str) -> None:
    with pytest.raises(CannotTranslate) as refused:
        document(name)
    assert any(said in problem for problem in refused.value.problems)
    assert all(problem.startswith("line ") for problem in refused.value.problems)


def test_requests_outside_of_calls_become_actions_too() -> None:
    steps = "".join(
        f"<send><![CDATA[\n{method} sip:bob@[remote_ip] SIP/2.0\nFrom: <sip:a@[local_ip]>\nTo: <sip:b@x>\n"
        f"Call-ID: [call_id]\nCSeq: [cseq] {method}\n{more}\n]]></send><recv response='{answer}'/>"
        for method, more, answer in (
            ("REGISTER", "Expires: 300", 200),
            ("OPTIONS", "X-Who: me", 404),
            ("MESSAGE", "Content-Type: text/plain\nContent-Length: [len]\n\nhello", 200),
        )
    )
    found = translate(read_scenario(f"<scenario>{steps}<pause milliseconds='500'/></scenario>"), "x").document
    load(yaml.safe_dump(found, sort_keys=False))
    assert found["steps"] == [
        [{"register": {"regexpire": 300}}],
        [{"options": {"destination": "bob", "headers": {"X-Who": "me"}, "expect": "code = 404"}}],
        [{"message": {"destination": "bob", "text": "hello", "type": "text/plain"}}],
        [{"wait": "0.5 s"}],
    ]
