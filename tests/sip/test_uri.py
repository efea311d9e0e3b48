"""URIs and name-addrs, read and written."""

from __future__ import annotations

import pytest

from callwright.sip.uri import NameAddr, SipSyntaxError, Uri


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sips:alice:secret@example.com:5061;transport=tcp;lr?subject=hi&priority=urgent",
        "sip:[2001:db8::1]:5060",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:*21#@example.com",
        "sip:example.com",
        "sip:1001@127.0.0.1:5070;ob",
        "sip:192.0.2.1;lr;ftag=abc;did=1.2~3;vsf=AAA==",
        "tel:+43123456;phone-context=example.com",
        "isbn:2983792873",
        "http://www.example.com",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "sip:",
        "sip:@example.com",
        "sip:alice@",
        "sip:alice@example.com:70000",
        "sip:alice@example.com:5o60",
        "sip:alice@example.com:",
        "sip:2001:db8::10",
        "sip:[2001:db8::10",
        "sip:[2001:db8::xyz]",
        "sip:[fe80::1%25eth0]",
        "sip:alice@example.com;",
        "sip:alice@example.com;;lr",
        "sip:al ice@example.com",
        "sip:alice@example.com ",
        "sip:alice@exam_ple..com",
        "sip:alice@999.1.1.1",
        "sip:%zz@example.com",
        "sip:a@b@c",
        "<sip:alice@example.com>",
        "sip:alice@example.com?x",
        "1sip:alice@example.com",
    ],
)
def test_what_is_no_uri_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Uri.parse(text)
    assert caught.value.reason
    assert 0 <= caught.value.position <= len(text)


def test_parts_of_a_uri() -> None:
    uri = Uri.parse("sips:alice:pw@[2001:db8::1]:5061;transport=TCP;lr?a=b")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (
        "sips",
        "alice",
        "pw",
        "2001:db8::1",
        5061,
    )
    assert uri.parameter("TRANSPORT") == "TCP"
    assert uri.parameter("lr") == ""
    assert uri.parameter("maddr") is None
    assert str(uri.without_headers()).endswith(";lr")
    assert str(uri.with_parameter("transport", "udp").without_headers()).endswith(";transport=udp;lr")


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", False),
        ("sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", False),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", False),
        ("sip:alice@example.com", "sips:alice@example.com", False),
        ("tel:+1", "TEL:+1", True),
    ],
)
def test_equivalence_is_that_of_rfc_3261(first: str, second: str, equal: bool) -> None:
    assert Uri.parse(first).equivalent(Uri.parse(second)) is equal


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"A. G. Bell" <sip:agb@example.com> ;tag=a48s', "A. G. Bell", "sip:agb@example.com", "a48s"),
        ("sip:+12125551212@phone2net.com;tag=887s", "", "sip:+12125551212@phone2net.com", "887s"),
        (
            "Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
            "Anonymous",
            "sip:c8oqz84zk7z@privacy.org",
            "hyh8",
        ),
        ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", "323"),
        ('"say \\"hi\\", <you>" <sip:x@y>', 'say "hi", <you>', "sip:x@y", None),
        ("<sip:x@y;lr>;TAG=1", "", "sip:x@y;lr", "1"),
        ("Jörg <sip:x@y>", "Jörg", "sip:x@y", None),
    ],
)
def test_name_addrs_are_read(text: str, display: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.tag) == (display, uri, tag)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        '"Unterminated <sip:x@y>',
        "Bell, Alexander <sip:x@y>",
        "< sip:x@y >",
        "<sip:x@y",
        '"A" sip:x@y',
        "<sip:x@y>;;",
        "<sip:x@y> tag=1",
        "sip:x@y?Route=%3Csip:z%3E",
        '<sip:x@y>;a="b',
        "",
    ],
)
def test_what_is_no_name_addr_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        NameAddr.parse(text)


def test_a_tag_is_set_and_replaced() -> None:
    address = NameAddr.parse("<sip:x@y>;tag=1;x=2")
    assert str(address.with_tag("9")) == "<sip:x@y>;tag=9;x=2"
    assert str(NameAddr.parse("sip:x@y").with_tag("9")) == "<sip:x@y>;tag=9"


@pytest.mark.parametrize(
    "text",
    [
        "sip:a@example.com;maddr=192.0.2.9",
        "sip:a@example.com;MADDR=192.0.2.9",
        "sip:a@example.com;%6daddr=192.0.2.9",
        "sip:a@example.com;%4D%61ddr=192.0.2.9;maddr=example.com",
        "sip:a@example.com;%256daddr=192.0.2.9",
    ],
)
def test_a_parameter_is_found_under_any_spelling_of_its_name(text: str) -> None:
    uri = Uri.parse(text)
    assert uri.parameter("maddr") == uri.destination == "192.0.2.9"
    assert str(uri) == text
    assert uri.with_parameter("maddr", "192.0.2.1").parameter("maddr") == "192.0.2.1"
    assert str(uri.with_parameter("maddr", "192.0.2.1")).count("=") == 1


def test_an_escape_in_the_name_of_a_parameter_changes_nothing_for_equality() -> None:
    plain = Uri.parse("sip:a@example.com;transport=tcp")
    assert plain.equivalent(Uri.parse("sip:a@example.com;%74ransport=tcp"))
    assert not plain.equivalent(Uri.parse("sip:a@example.com;%74ransport=udp"))
    assert Uri.parse("sip:a@example.com;%74ransport=tcp;%6cr").parameter("lr") == ""
