from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.fields import Via
from callwright.sip.glance import branch_of, cseq_of, from_tag, mark_source, tag_of, to_tag
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.uri import NameAddr

ADDRESSES = [
    "<sip:a@b>;tag=1",
    "sip:a@b;tag=1",
    '"A >;tag=9" <sip:a@b>;tag=1',
    "<sip:a@b;tag=7>",
    "<sip:a@b>;x=y;tag=1",
    "<sip:a@b> ; TAG = 1",
    "A <sip:a@b>",
    '<sip:a@b>;x=";tag=3";tag=1',
    "<sip:a@b>;tag=1;tag=2",
]
VIAS = [
    "SIP/2.0/UDP h:5060;branch=z9hG4bKa;rport",
    "SIP/2.0/UDP h;rport;branch=z9hG4bKa",
    "SIP / 2.0 / UDP h ; branch = z9hG4bKa",
    "SIP/2.0/UDP h;branch=z9hG4bKa, SIP/2.0/UDP g;branch=z9hG4bKb",
    "SIP/2.0/UDP h;received=1.2.3.4;branch=z9hG4bKa;rport=5",
    "SIP/2.0/TCP [::1]:5060;branch=z9hG4bKa",
    'SIP/2.0/UDP h;x=";branch=no";branch=z9hG4bKa',
    "SIP/2.0/UDP h",
    "SIP/2.0/UDP h:5060;rport;branch=a;rport",
    "SIP/2.0/UDP h;branch=a@b",
]


@pytest.mark.parametrize("text", ADDRESSES)
def test_a_glance_at_a_tag_sees_what_the_parser_sees(text: str) -> None:
    assert tag_of(text) == NameAddr.parse(text).tag


@pytest.mark.parametrize("text", VIAS)
def test_a_glance_at_a_branch_sees_what_the_parser_sees(text: str) -> None:
    headers = Headers([("v", text)])
    assert branch_of(headers) == headers.top_via.branch


@given(
    st.from_regex(
        r"(\"[a>;=]*\" )?<sip:a@b(;[a-z]+=[0-9]+)?>(;[a-z]+(=[a-z0-9.]+|=\"[;=a-z]*\"))*(;tag=[0-9a-z]+)?",
        fullmatch=True,
    )
)
def test_no_spelling_of_an_address_deceives_the_glance(text: str) -> None:
    try:
        expected = NameAddr.parse(text).tag
    except SipSyntaxError:
        return
    assert tag_of(text) == expected


@pytest.mark.parametrize("text", VIAS)
def test_a_source_written_at_a_glance_reads_as_when_parsed_and_marked(text: str) -> None:
    headers = Headers([("Via", text)])
    before: Via = headers.top_via
    marked = mark_source(headers, "192.0.2.7", 4242)
    if marked is None:
        assert headers.top_via == before
        return
    after = headers.top_via
    assert (after.received, after.rport, after.branch) == ("192.0.2.7", 4242, before.branch)
    assert (marked.received, marked.rport, marked.branch) == (after.received, after.rport, after.branch)
    assert (marked.host, marked.port) == (after.host, after.port) == (before.host, before.port)
    assert marked.wants_rport


def test_numbers_and_tags_of_a_message() -> None:
    headers = Headers([("f", "<sip:a@b>"), ("t", "<sip:a@b>;tag=2"), ("CSeq", "7  INVITE")])
    assert (from_tag(headers), to_tag(headers), cseq_of(headers)) == ("", "2", (7, "INVITE"))
