"""Which headers go on to the other leg, and how."""

from __future__ import annotations

import pytest

from callwright.pbx.accounts import PbxAccount
from callwright.pbx.passage import caller_address, hops_left, identity_headers, passing, reasons_of
from callwright.sip.headers import Headers
from callwright.sip.message import Request


def test_headers_of_one_leg_stay_on_it() -> None:
    kept = ["Via", "Route", "Record-Route", "Contact", "Authorization", "Proxy-Authorization", "From", "To"]
    kept += ["Call-ID", "CSeq", "Allow", "Supported", "Require", "User-Agent", "Server", "Content-Length"]
    kept += ["P-Asserted-Identity", "P-Preferred-Identity", "WWW-Authenticate", "Content-Type", "Made-Up"]
    assert passing(Headers([(name, "1") for name in kept])) == []


def test_headers_of_testers_pass_in_their_order_and_spelling() -> None:
    fields = [("X-b", "2"), ("x-a", 'ünïcode ; "quoted", list'), ("X-b", "3"), ("Subject", "hello")]
    assert passing(Headers(fields)) == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\x00b"),
        ("X-A", "a\r\nVia: evil"),
        ("X-A", "x" * 3000),
        ("X-(A)", "a"),
        ("Reason", "<nonsense>"),
        ("Retry-After", "soon"),
        ("Diversion", "not an address"),
        ("Priority", "very urgent"),
    ],
)
def test_what_breaks_its_grammar_stays_behind(name: str, value: str) -> None:
    assert passing(Headers([(name, value)])) == []


def test_there_is_an_end_to_headers() -> None:
    assert len(passing(Headers([("X-A", str(n)) for n in range(500)]))) == 64


def test_reasons_are_written_anew() -> None:
    headers = Headers([("Reason", 'Q.850 ;cause=16 ;text="Terminated, really"'), ("Reason", "SIP;cause=200")])
    assert reasons_of(headers) == [
        ("Reason", 'Q.850;cause=16;text="Terminated, really"'),
        ("Reason", "SIP;cause=200"),
    ]


def invite(*fields: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:x@pbx.test", Headers([("From", "<sip:a@b.test>;tag=1"), *fields]))


def test_a_request_without_max_forwards_is_given_seventy() -> None:
    assert hops_left(invite()) == 70
    assert hops_left(invite(("Max-Forwards", "1"))) == 0
    assert hops_left(invite(("Max-Forwards", "0"))) == -1


def test_an_account_with_odd_letters_is_escaped() -> None:
    account = PbxAccount("a b@c", "s")
    assert identity_headers(invite(), account, "pbx.test") == [
        ("P-Asserted-Identity", "<sip:a%20b%40c@pbx.test>")
    ]
    assert str(caller_address(invite(), account, "pbx.test")) == "<sip:a%20b%40c@pbx.test>"


def test_without_credentials_from_is_what_it_claims_and_nothing_is_asserted() -> None:
    assert str(caller_address(invite(), None, "pbx.test")) == "<sip:a@b.test>"
    assert identity_headers(invite(), None, "pbx.test") == []
