from __future__ import annotations

import pytest

from callwright.sip.headers import Headers
from callwright.sip.multipart import demanded, described, redescribed, spot

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ISUP = b"\x09\x01\x14\x00\r\n--not the end"


def mixed(
    *parts: bytes, kind: str = "multipart/mixed", close: bytes = b"\r\n--b--\r\n"
) -> tuple[Headers, bytes]:
    body = b"".join(b"--b\r\n" + part if not n else b"\r\n--b\r\n" + part for n, part in enumerate(parts))
    return Headers([("Content-Type", f"{kind};boundary=b")]), body + close


def part(kind: str, body: bytes, disposition: str | None = None, *more: str) -> bytes:
    lines = [f"Content-Type: {kind}", *more]
    if disposition is not None:
        lines.append(f"Content-Disposition: {disposition}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("kind", ["application/sdp", "APPLICATION/SDP;charset=utf-8", None])
def test_a_body_that_is_a_description_is_found_whole(kind: str | None) -> None:
    headers = Headers([("c", kind)] if kind else [])
    assert described(headers, SDP) == SDP


def test_a_body_of_another_kind_holds_no_description() -> None:
    assert described(Headers([("Content-Type", "application/isup")]), SDP) == b""
    assert described(Headers([("Content-Type", "application/sdp")]), b"") == b""


def test_the_description_is_found_beside_isup_in_either_order() -> None:
    isup = part("application/isup; version=itu-t92+", ISUP, "signal; handling=optional")
    sdp = part("application/sdp", SDP, "session; handling=required")
    for parts in ((sdp, isup), (isup, sdp)):
        headers, body = mixed(*parts)
        assert described(headers, body) == SDP
        assert demanded(headers, body) == []


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("signal; handling=required", ["application/isup"]),
        ('signal;handling="required"', ["application/isup"]),
        ("signal", ["application/isup"]),
        ("signal; handling=optional", []),
        (None, []),
    ],
)
def test_a_part_counts_where_its_sender_demands_that_it_is_understood(
    disposition: str | None, expected: list[str]
) -> None:
    headers, body = mixed(part("application/sdp", SDP), part("application/isup", ISUP, disposition))
    assert demanded(headers, body) == expected
    assert described(headers, body) == SDP


def test_early_sessions_are_not_the_session() -> None:
    early = part("application/sdp", b"v=0\r\nearly", "early-session; handling=optional")
    headers, body = mixed(early, part("application/sdp", SDP))
    assert described(headers, body) == SDP


def test_a_multipart_within_a_multipart_is_looked_into() -> None:
    inner = b"--i\r\n" + part("application/sdp", SDP) + b"\r\n--i--"
    headers, body = mixed(part("text/plain", b"x"), part("multipart/related;boundary=i", inner))
    assert described(headers, body) == SDP


def test_of_alternatives_the_last_is_taken() -> None:
    headers, body = mixed(
        part("application/sdp", b"v=0\r\nother"), part("application/sdp", SDP), kind="multipart/alternative"
    )
    assert described(headers, body) == SDP


def test_what_gateways_leave_out_is_guessed() -> None:
    headers, body = mixed(part("application/sdp", SDP), close=b"")
    assert described(headers, body) == SDP
    assert (
        described(Headers([("Content-Type", "multipart/mixed")]), mixed(part("application/sdp", SDP))[1])
        == SDP
    )
    bare = mixed(part("application/sdp", SDP))[1].replace(b"\r\n", b"\n")
    assert described(headers, bare) == SDP.replace(b"\r\n", b"\n")
    preamble = b"This is a message with several parts.\r\n" + mixed(part("application/sdp", SDP))[1]
    assert described(headers, preamble) == SDP
    padded = mixed(part("application/sdp", SDP))[1].replace(b"--b\r\n", b"--b  \t\r\n")
    assert described(headers, padded) == SDP


@pytest.mark.parametrize(
    "body", [b"", b"--", b"--b", b"--b\r\n", b"--b\r\n\r\n", b"--b--", b"nothing", b"\r\n--b\r\n--b"]
)
def test_a_multipart_without_a_description_has_none(body: bytes) -> None:
    headers = Headers([("Content-Type", 'multipart/mixed; boundary="b"')])
    assert described(headers, body) == b""
    assert demanded(headers, body) == []


def test_another_description_takes_the_place_and_nothing_else_changes() -> None:
    isup = part("application/isup", ISUP, "signal; handling=optional")
    headers, body = mixed(isup, part("application/sdp", SDP, None, f"Content-Length: {len(SDP)}"), isup)
    place = spot(headers, body)
    assert place is not None
    changed = redescribed(body, place, b"v=0\r\nlonger than it was" + SDP)
    assert described(headers, changed) == b"v=0\r\nlonger than it was" + SDP
    assert changed.count(ISUP) == 2
    assert b"Content-Length: %d\r\n" % len(b"v=0\r\nlonger than it was" + SDP) in changed
    assert redescribed(SDP, spot(Headers(), SDP), b"v=0") == b"v=0"  # type: ignore[arg-type]
    assert redescribed(body, place, SDP) == body


def test_ten_thousand_parts_cost_no_more_than_some() -> None:
    headers, body = mixed(*[part("text/plain", b"")] * 10_000, part("application/sdp", SDP))
    assert described(headers, body) == b""
