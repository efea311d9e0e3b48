"""Headers that are another on the wire, and the hosts that a message leads to."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.edits import Edits
from callwright.sip.events import CallAnswered, CallReceived, Event
from callwright.sip.leading import hosts_of, hosts_of_headers
from tests.kit.wire import Sent, Wire


def invite(*headers: tuple[str, str]) -> Sent:
    wire = Wire()
    wire.alice.invite(headers=headers, body=b"offer")
    wire.settle()
    return wire.said(wire.alice, "INVITE")[0]


def values(sent: Sent, name: str) -> list[str]:
    lines = sent.text.partition("\r\n\r\n")[0].split("\r\n")[1:]
    return [
        line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == name.lower()
    ]


@pytest.mark.parametrize(
    "name", ["Max-Forwards", "max-forwards", "User-Agent", "Contact", "Via", "Content-Length"]
)
def test_a_header_is_left_out(name: str) -> None:
    assert values(invite((f"-{name}", "")), name) == []


def test_a_compact_name_leaves_out_the_same_header() -> None:
    assert values(invite(("-m", "")), "Contact") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKmine"),
        ("Call-ID", "mine"),
        ("CSeq", "77 INVITE"),
        ("To", "nobody at all"),
        ("Content-Length", "3"),
        ("Max-Forwards", "0"),
        ("Contact", "<sip:x@192.0.2.1>"),
        ("Route", "<sip:192.0.2.1;lr>"),
    ],
)
def test_a_header_is_replaced(name: str, value: str) -> None:
    assert values(invite((name, value)), name) == [value]


def test_a_header_is_repeated() -> None:
    twice = invite(("CSeq", "1 INVITE"), ("CSeq", "2 INVITE"), ("X-A", "1"), ("X-A", "2"))
    assert values(twice, "CSeq") == ["1 INVITE", "2 INVITE"]
    assert values(twice, "X-A") == ["1", "2"]


def test_a_replaced_from_keeps_the_tag_and_the_call_goes_on() -> None:
    wire = Wire()

    def answer(event: Event) -> None:
        if isinstance(event, CallReceived):
            event.call.answer(b"answer", now=wire.clock.now)

    wire.bob.react = answer
    wire.alice.invite(headers=[("From", "<sip:other@192.0.2.1>")], body=b"offer")
    wire.settle()
    sent = wire.said(wire.alice, "INVITE")[0]
    assert sent.header("From").startswith("<sip:other@192.0.2.1>;tag=")
    assert wire.alice.one(CallAnswered)


def test_what_breaks_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        invite(("Via", "x\r\nX-Bad: 1"))


@pytest.mark.parametrize(
    "header",
    [
        "Contact: <sip:x@203.0.113.9>",
        "m: <sip:x@203.0.113.9:5070>",
        "M : sip:203.0.113.9",
        "CONTACT:\r\n  <sip:x@203.0.113.9>",
        "Contact: <sip:permitted.test;maddr=203.0.113.9>",
        "Contact: <sip:permitted.test>, <sips:y@203.0.113.9;lr>",
        "v: SIP/2.0/UDP 203.0.113.9:5060;branch=x",
        "Via: SIP / 2.0 / TCP 203.0.113.9",
        "Via: SIP/2.0/UDP permitted.test;received=203.0.113.9",
        "Route: <sip:203.0.113.9;lr>",
        "Record-Route: <sip:203.0.113.9;lr>",
        "r: <sip:203.0.113.9>",
        "Refer-To: <sip:permitted.test?Route=%3Csip:203.0.113.9%3E>",
        "Path: <sip:203.0.113.9>",
        "Co ntact: <sip:203.0.113.9>",
        "Contact\x00: <sip:203.0.113.9>",
        "INVITE sip:203.0.113.9 SIP/2.0",
        "c=IN IP4 203.0.113.9",
        "c=IN IP4 203.0.113.9/127",
        "a=candidate:1 1 UDP 1 203.0.113.9 5000 typ host",
        "a=rtcp:5 IN IP4 203.0.113.9",
    ],
)
def test_every_way_to_name_a_stranger_is_seen(header: str) -> None:
    assert "203.0.113.9" in hosts_of(header)


def test_ipv6_stands_in_brackets() -> None:
    assert hosts_of("Contact: <sip:x@[2001:db8::9]:5060>\r\nc=IN IP6 2001:db8::7") == (
        "[2001:db8::9]",
        "[2001:db8::7]",
    )


def test_who_calls_leads_nowhere() -> None:
    assert hosts_of("From: <sip:a@example.com>\r\nTo: <sip:b@203.0.113.9>\r\nCall-ID: x@203.0.113.9") == ()
    assert hosts_of_headers([("Alert-Info", "<http://192.0.2.9/ring.wav>")]) == ()


def test_the_body_leads_where_its_description_says() -> None:
    assert hosts_of_headers([], b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\nc=IN IP4 203.0.113.9\r\n") == (
        "203.0.113.9",
    )


def test_hosts_are_bounded() -> None:
    with pytest.raises(ValueError, match="hosts"):
        hosts_of("".join(f"Contact: <sip:h{number}.test>\r\n" for number in range(100)))


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    with contextlib.suppress(ValueError):  # of too many
        hosts_of(text, text.encode("utf-8", "surrogatepass"))


@given(st.lists(st.tuples(st.sampled_from(["-Via", "From", "X-A", "v", "-x"]), st.just("a")), max_size=6))
def test_edits_and_additions_are_all_there_is(headers: list[tuple[str, str]]) -> None:
    edits, others = Edits.of(headers), Edits.others(headers)
    assert len(edits.replaced) + len(others) + sum(name.startswith("-") for name, _ in headers) == len(
        headers
    )
