"""Headers, bodies and raw messages of documents, and what the gate before DNS makes of them."""

from __future__ import annotations

import base64

import pytest

from callwright.policy.destination import Rules, parse_allow
from callwright.scenario.actions import Call, Raw
from callwright.scenario.admission import admit
from callwright.scenario.document import load
from callwright.scenario.source import DocumentError

RULES = Rules(targets=(parse_allow("192.0.2.1"),), embedded=False)
HEAD = "name: x\ntarget: 192.0.2.1\nparties: {alice: {user: a, password: b}}\nsteps:\n  - - "


@pytest.mark.parametrize(
    "action",
    [
        "call: {to: '5', headers: ['Contact: <sip:x@203.0.113.9>']}",
        "call: {to: '5', headers: ['m: <sip:x@203.0.113.9>']}",
        "message: {to: '5', text: hi, headers: ['v: SIP/2.0/UDP 203.0.113.9']}",
        "options: {headers: ['r: <sip:203.0.113.9>']}",
        'call: {to: "5", body: "c=IN IP4 203.0.113.9", body_type: application/sdp}',
        'raw: {to: "5", text: "OPTIONS [target] SIP/2.0\\nm: <sip:203.0.113.9>"}',
        'raw: {to: "5", text: "OPTIONS sip:203.0.113.9 SIP/2.0"}',
        'raw: {to: "x@203.0.113.9", text: "hello"}',
    ],
)
def test_a_document_that_leads_to_a_stranger_is_barred_before_anything_is_sent(action: str) -> None:
    barred = admit(load(HEAD + action), RULES).barred
    assert barred is not None
    assert "203.0.113.9" in barred.decision.reason


@pytest.mark.parametrize(
    "action",
    [
        "call: {to: '5', headers: ['-User-Agent', 'Max-Forwards: 3', 'Contact: <sip:x@192.0.2.1>']}",
        'raw: {to: "5", text: "OPTIONS [target] SIP/2.0\\nVia: SIP/2.0/UDP [local]\\nm: <sip:[local]>"}',
    ],
)
def test_a_document_that_leads_to_the_target_or_back_to_us_is_admitted(action: str) -> None:
    assert admit(load(HEAD + action), RULES).barred is None


def test_octets_are_text_or_base64() -> None:
    octets = base64.b64encode(bytes([0, 1, 255])).decode()
    call = load(HEAD + f"call: {{to: '5', body: 'base64:{octets}', body_type: application/isup}}").action(
        "step.0.0"
    )
    assert isinstance(call, Call)
    assert call.body == bytes([0, 1, 255])
    raw = load(HEAD + 'raw: {to: "5", text: "a\\nb"}').action("step.0.0")
    assert isinstance(raw, Raw)
    assert raw.text == b"a\r\nb"


@pytest.mark.parametrize(
    "action",
    [
        "call: {to: '5', body: 'base64:*', body_type: a/b}",
        "call: {to: '5', body: x, body_type: nothing}",
        "accept: {headers: ['Contact: <sip:x@192.0.2.1>']}",
        "call: {to: '5', call_rate: 100, max_total_calls: 1000, headers: ['-Via']}",
        "call: {to: '5', call_rate: 100, max_total_calls: 1000, body: x}",
    ],
)
def test_what_cannot_be_sent_is_refused(action: str) -> None:
    with pytest.raises(DocumentError):
        load(HEAD + action)
