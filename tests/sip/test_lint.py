"""What the lint says of messages that are neither torture nor ordinary."""

from __future__ import annotations

import pytest

from callwright.sip.lint import Lint, lint
from tests.sip.wire import INVITE, changed, without


def warnings(result: Lint) -> str:
    return " | ".join([f"{finding.header}: {finding.message}" for finding in result.warnings])


def as_method(method: bytes, message: bytes = INVITE) -> bytes:
    return message.replace(b"INVITE sip", method + b" sip").replace(b"314159 INVITE", b"314159 " + method)


def test_an_ordinary_invite_leaves_nothing_to_say() -> None:
    result = lint(INVITE)
    assert result.well_formed
    assert result.errors == result.warnings == []
    assert result.would_answer is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (without(b"Max-Forwards"), "no Max-Forwards"),
        (without(b"Contact"), "no Contact"),
        (without(b"Content-Type"), "without Content-Type"),
        (without(b"Content-Length"), "no Content-Length"),
        (changed(b"z9hG4bKnashds8", b"1"), "RFC 2543"),
        (changed(b";tag=1928301774", b""), "no tag in From"),
        (changed(b"Forwards: 70", b"Forwards: 300"), "beyond 255"),
        (INVITE + b"more", "4 octets beyond"),
        (INVITE.replace(b"\r\nv=0\r\n", b"\r\nv=0__").replace(b"\r\n", b"\n"), "LF without CR"),
        (changed(b"Callwright/0.1", b"\xff"), "not UTF-8"),
        (
            changed(b"sip:bob@biloxi.example.com S", b"sip:bob@biloxi.example.com?a=b S"),
            "headers in the Request",
        ),
        (changed(b"Supported:", b"Expires: soon\r\nSupported:"), "Expires"),
        (changed(b"Supported:", b"Proxy-Require: flying\r\nSupported:"), "flying"),
        (changed(b"transport=udp>", b"transport=udp>;q=7"), "q is not"),
    ],
)
def test_oddities_are_warnings(data: bytes, said: str) -> None:
    result = lint(data)
    assert result.well_formed
    assert said in warnings(result)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (as_method(b"FLY"), 501),
        (changed(b"Supported:", b"Require: 100rel, flying\r\nSupported:"), 420),
        (changed(b"Supported:", b"Require: 100rel\r\nSupported:"), None),
        (changed(b"application/sdp", b"application/pdf"), 415),
        (changed(b"application/sdp", b"sdp"), 400),
        (changed(b"Supported:", b"Content-Encoding: rot13\r\nSupported:"), 415),
        (
            changed(b"application/sdp", b"application/pdf\r\nContent-Disposition: render; handling=optional"),
            None,
        ),
        (changed(b"Supported:", b"Accept: application/*\r\nSupported:"), None),
        (changed(b"Supported:", b"Accept: text/plain\r\nSupported:"), 406),
        (as_method(b"BYE"), 481),
        (as_method(b"BYE", changed(b"biloxi.example.com>\r", b"biloxi.example.com>;tag=1\r")), None),
        (as_method(b"ACK"), None),
        (changed(b"sip:bob@biloxi.example.com S", b"mailto:bob@biloxi.example.com S"), 416),
        (changed(b"sip:bob@biloxi.example.com S", b"tel:+4312345 S"), None),
        (as_method(b"REGISTER", changed(b"<sip:alice@192.0.2.10:5060;transport=udp>", b"*")), 400),
    ],
)
def test_what_an_element_would_answer(data: bytes, status: int | None) -> None:
    result = lint(data)
    assert result.well_formed
    assert result.would_answer == status


def test_every_error_is_told_at_once() -> None:
    broken = changed(b"314159 INVITE", b"1 ACK", changed(b"Bob <", b"Bob, <", without(b"Call-ID")))
    result = lint(broken)
    assert not result.well_formed
    assert {finding.header for finding in result.errors} == {"Call-ID", "CSeq", "To"}
    assert "Bob, <" in next(finding.line for finding in result.errors if finding.header == "To")


def test_a_response_is_answered_with_nothing() -> None:
    result = lint(INVITE.replace(b"INVITE sip:bob@biloxi.example.com SIP/2.0", b"SIP/2.0 200"))
    assert result.well_formed
    assert result.would_answer is None
    assert "no space after the status code" in warnings(result)
    assert "no tag in To" in warnings(result)
