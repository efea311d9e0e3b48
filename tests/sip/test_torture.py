"""The torture messages of RFC 4475 and RFC 5118, each in the right class, and what they are there to show."""

from __future__ import annotations

import pytest

from callwright.sip.lint import lint
from callwright.sip.message import (
    MalformedMessage,
    Message,
    Request,
    Response,
    parse_datagram,
    serialize,
)
from tests.sip.wire import TortureCase, torture, torture_cases

CASES = torture_cases()
ACCEPTED = [case for case in CASES if not case.must_be_refused and not case.either_is_right]
REFUSED = [case for case in CASES if case.must_be_refused]

ANSWERS: dict[str, int | None] = {
    "intmeth": 501,
    "esc02": 501,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 400,
    "bext01": 420,
    "invut": 415,
    "regaut01": 401,
    "sdp01": 406,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 501,
    "insuf": 400,
    "multi01": 400,
    "mcl01": 400,
    "clerr": 400,
    "scalarlg": None,
    "bigcode": None,
}


def request(name: str) -> Request:
    message = parse_datagram(torture(name))
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse_datagram(torture(name))
    assert isinstance(message, Response)
    return message


def same_but_for_length(first: Message, second: Message) -> bool:
    first.headers.remove("content-length")
    second.headers.remove("content-length")
    return first == second


def test_the_set_is_complete() -> None:
    assert len(CASES) == 62
    assert len(ACCEPTED) + len(REFUSED) + 4 == 62


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_valid_messages_are_accepted_and_survive_a_round_trip(case: TortureCase) -> None:
    message = parse_datagram(case.data)
    again = parse_datagram(serialize(message))
    assert same_but_for_length(message, again)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_broken_messages_are_refused(case: TortureCase) -> None:
    with pytest.raises(MalformedMessage):
        parse_datagram(case.data)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_lint_agrees_with_the_parser(case: TortureCase) -> None:
    verdict = lint(case.data)
    if not case.either_is_right:
        assert verdict.well_formed is not case.must_be_refused
    assert verdict.well_formed is (not verdict.errors)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_element_would_answer_what_the_rfc_demands(case: TortureCase) -> None:
    expected = ANSWERS.get(case.name, 400 if case.must_be_refused or case.either_is_right else None)
    if case.name in ("escruri", "baddate"):
        expected = None  # either is right; we process and ignore
    assert lint(case.data).would_answer == expected


def test_folding_lws_and_compact_forms_are_read() -> None:
    message = request("wsinv")
    headers = message.headers
    assert headers.to.tag == "1918181833n"
    assert headers.from_.display_name == 'J Rosenberg \\"'
    assert headers.from_.tag == "98asjd8"
    assert headers.max_forwards == 68
    assert (headers.cseq.number, headers.cseq.method) == (9, "INVITE")
    assert headers.get("Subject") == ""
    assert [via.transport for via in headers.via] == ["UDP", "TCP", "UDP"]
    assert [via.branch for via in headers.via] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert headers.get("newfangledheader") == "newfangled value continued newfangled value"
    assert headers.contact[0].display_name == 'Quoted string ""'
    assert headers.contact[0].parameter("newparam") == "newvalue"
    assert headers.contact[0].parameter("secondparam") == ""
    assert len(message.body) == 150


def test_a_nul_in_a_quoted_pair_and_utf8_are_kept() -> None:
    message = request("intmeth")
    assert message.headers.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.headers.from_.parameter("fromParam''~+*_!.-%") == "работающий"
    assert "大停電".encode() in serialize(message)
    target = message.target
    assert target.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert target.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"


def test_escapes_are_resolved_once() -> None:
    message = request("esc01")
    assert message.target.unescaped_user == "sips:user@example.com"
    assert message.headers.to.uri.unescaped_user == "user"
    assert message.headers.contact[0].uri.parameters[1] == ("n%61me", "v%61lue%25%34%31")


def test_an_escaped_nul_does_not_end_the_user_part() -> None:
    first, second = (contact.uri for contact in request("escnull").headers.contact)
    assert first.unescaped_user == "\x00"
    assert second.unescaped_user == "\x00\x00"
    assert not first.equivalent(second)


def test_a_percent_sign_in_a_method_is_no_escape() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert len(message.headers.contact) == 2


def test_octets_after_the_body_of_a_datagram_are_ignored() -> None:
    message = request("dblreq")
    assert message.method == "REGISTER"
    assert message.body == b""
    assert lint(torture("dblreq")).ignored_octets == 450


def test_a_semicolon_in_the_user_part_is_no_parameter() -> None:
    target = request("semiuri").target
    assert target.user == "user;par=u%40example.net"
    assert target.parameters == ()


def test_all_vias_of_a_long_request_are_found() -> None:
    assert len(request("longreq").headers.via) == 34


def test_unusual_and_empty_reason_phrases_are_kept() -> None:
    assert response("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert response("noreason").reason == ""
    assert serialize(response("noreason")).startswith(b"SIP/2.0 100 \r\n")


def test_parameters_without_brackets_belong_to_the_contact() -> None:
    assert request("cparam01").headers.contact[0].parameter("unknownparam") == ""
    assert request("cparam01").headers.contact[0].uri.parameters == ()
    assert request("cparam02").headers.contact[0].uri.parameter("unknownparam") == ""


def test_headers_in_a_contact_uri_are_kept() -> None:
    assert request("regescrt").headers.contact[0].uri.headers == (("Route", "%3Csip:sip.example.com%3E"),)


def test_a_port_within_the_brackets_is_address() -> None:
    inside, outside = request("port-ambiguous").target, request("port-unambiguous").target
    assert (inside.host, inside.port) == ("2001:db8::10:5070", None)
    assert (outside.host, outside.port) == ("2001:db8::10", 5070)


def test_received_is_read_with_and_without_brackets() -> None:
    for name in ("via-received-param-with-delim", "via-received-param-no-delim"):
        assert request(name).headers.top_via.received == "2001:db8::9:255"


def test_three_colons_are_read_as_two() -> None:
    three = request("ipv6-bug-abnf-3-colons").target
    assert three.host == request("ipv6-correct-abnf-2-colons").target.host == "2001:db8::192.0.2.1"


def test_a_malformed_request_can_still_be_answered() -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(torture("scalar02"))
    assert caught.value.status == 400
    assert caught.value.header == "CSeq"
    assert isinstance(caught.value.message, Request)


def test_a_malformed_response_is_answered_with_nothing() -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(torture("bigcode"))
    assert caught.value.status is None
