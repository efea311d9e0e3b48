"""Headers: found by any spelling, kept in order and in their spelling."""

from __future__ import annotations

import pytest

from callwright.sip.headers import CSeq, Headers, MediaType, SipSyntaxError, Via, full_name


def headers() -> Headers:
    return Headers(
        [
            ("v", "SIP/2.0/UDP a.example.com;branch=z9hG4bK1, SIP/2.0/TCP b.example.com"),
            ("To", "<sip:bob@example.com>"),
            ("VIA", "SIP/2.0/TLS c.example.com:5061"),
            ("Subject", "one, two"),
            ("m", '"Bob, the other" <sip:bob@[2001:db8::1]>;q=0.5, <sip:b@x,y>'),
        ]
    )


def test_compact_and_full_names_are_one_header() -> None:
    assert headers().get("subject") == headers().get("s") == "one, two"
    assert "T" in headers()
    assert "From" not in headers()
    assert headers().get("From") is None
    assert full_name("m") == "Contact"
    assert full_name("X-Own") == "X-Own"


def test_lists_are_split_outside_quotes_and_brackets_and_texts_are_not() -> None:
    assert headers().get_all("Contact") == [
        '"Bob, the other" <sip:bob@[2001:db8::1]>;q=0.5',
        "<sip:b@x,y>",
    ]
    assert headers().get_all("Subject") == ["one, two"]
    assert len(headers().get_all("via")) == 3
    assert len(headers().get_fields("via")) == 2
    assert headers().first("via") == "SIP/2.0/UDP a.example.com;branch=z9hG4bK1"


def test_order_and_spelling_are_kept() -> None:
    assert [name for name, _ in headers()] == ["v", "To", "VIA", "Subject", "m"]


def test_set_replaces_in_place_and_drops_the_others() -> None:
    changed = headers()
    changed.set("Via", "SIP/2.0/UDP z")
    assert [name for name, _ in changed] == ["Via", "To", "Subject", "m"]
    changed.set("X-New", "1")
    assert list(changed)[-1] == ("X-New", "1")


def test_the_topmost_via_is_put_and_changed_without_touching_the_rest() -> None:
    changed = headers()
    changed.set_first("Via", str(changed.top_via.with_parameter("received", "192.0.2.1")))
    assert changed.top_via.received == "192.0.2.1"
    assert changed.get_all("via")[1:] == headers().get_all("via")[1:]
    changed.prepend("Via", "SIP/2.0/UDP new;branch=z9hG4bK2")
    assert changed.top_via.host == "new"


def test_a_copy_is_independent() -> None:
    original = headers()
    copied = original.copy()
    copied.remove("to")
    copied.add("X", "1")
    assert "To" in original
    assert "X" not in original
    assert copied != original


def test_a_missing_header_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        _ = Headers().call_id


def test_numbers_out_of_range_are_none() -> None:
    assert Headers([("Max-Forwards", "256")]).max_forwards is None
    assert Headers([("Max-Forwards", "0070")]).max_forwards == 70
    assert Headers([("Expires", "9" * 5000)]).expires is None
    assert Headers([("Expires", "-1")]).expires is None
    assert Headers([("Session-Expires", "1800;refresher=uac")]).number("x", 2**32) == 1800


@pytest.mark.parametrize(
    ("text", "transport", "host", "port"),
    [
        ("SIP/2.0/UDP 192.0.2.1", "UDP", "192.0.2.1", None),
        ("SIP / 2.0 / TCP [2001:db8::1] : 5062 ; rport", "TCP", "2001:db8::1", 5062),
        ("SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK1", "WSS", "df7jal23ls0d.invalid", None),
    ],
)
def test_vias_are_read(text: str, transport: str, host: str, port: int | None) -> None:
    via = Via.parse(text)
    assert (via.transport, via.host, via.port) == (transport, host, port)
    assert Via.parse(str(via)) == via


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/2.0 192.0.2.1", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP a;;"]
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        Via.parse(text)


def test_rport_is_asked_for_and_answered() -> None:
    asked = Via.parse("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1")
    assert asked.wants_rport
    assert asked.rport is None
    assert str(asked.with_parameter("rport", "5071")) == "SIP/2.0/UDP 192.0.2.1;rport=5071;branch=z9hG4bK1"
    assert asked.with_parameter("rport", "5071").rport == 5071
    assert not Via.parse("SIP/2.0/UDP h;branch=z9hG4bK").has_magic_cookie


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "4294967296 INVITE", "1 IN VITE", "1INVITE"]
)
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        CSeq.parse(text)


def test_a_cseq_has_32_bits() -> None:
    assert CSeq.parse("4294967295 ACK") == CSeq(4294967295, "ACK")


def test_media_types_are_compared_in_lower_case() -> None:
    kind = MediaType.parse('Multipart / Mixed ; boundary="a b"')
    assert kind.essence == "multipart/mixed"
    assert kind.parameter("boundary") == "a b"
    with pytest.raises(SipSyntaxError):
        MediaType.parse("text")
