"""Responses that had to be thrown away are told of: what came is not silence."""

from __future__ import annotations

import pytest

from callwright.sip.call import Call
from callwright.sip.events import CallAnswered, MessageDiscarded, ResponseDiscarded
from tests.kit.peer import LOCAL, Peer
from tests.kit.wire import Sent


def called(peer: Peer) -> tuple[Call, Sent]:
    call = peer.endpoint.invite("sip:bob@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now, body=b"v=0")
    return call, peer.listen()[0]


def answer(invite: Sent, length: int = 4, contact: str = "<sip:bob@192.0.2.99>") -> bytes:
    lines = [
        "SIP/2.0 200 OK",
        *(f"{name}: {invite.header(name)}" for name in ("Via", "From", "Call-ID", "CSeq")),
    ]
    lines += [f"To: {invite.header('To')};tag=b", f"Contact: {contact}", "Content-Type: application/sdp"]
    return ("\r\n".join([*lines, f"Content-Length: {length}"]) + "\r\n\r\nv=0\r").encode()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ((b"Content-Length: 4", b"Content-Length: 44"), "Content-Length is 44, but only 4 octets follow"),
        ((b"Contact: <sip:bob@192.0.2.99>", b"Contact: <sip:bob@192.0.2.99"), "Contact: the '<'"),
        ((b"Content-Type", b"Content Type"), "a header name that is not a token"),
        ((b"\r\n\r\n", b"\r\n"), "no empty line"),
        ((b"Call-ID", b"X-Call-ID"), "no Call-ID header"),
        ((b"CSeq: 1 INVITE", b"CSeq: 1 INV ITE"), "CSeq"),
        ((b"CSeq", b"X-CSeq"), "no CSeq header"),
    ],
)
def test_a_200_of_no_use_is_told_with_its_fault(damage: tuple[bytes, bytes], said: str) -> None:
    peer = Peer()
    call, invite = called(peer)
    peer.send_raw(answer(invite).replace(*damage))
    told = peer.one(ResponseDiscarded)
    assert (told.call, told.status) == (call, 200)
    assert told.handle is not None
    assert told.handle.method == "INVITE"
    assert said in told.fault
    peer.send_raw(answer(invite))
    assert peer.one(CallAnswered).call is call, "a good one is still welcome"


def test_a_fault_is_not_said_twice() -> None:
    peer = Peer()
    _, invite = called(peer)
    peer.send_raw(answer(invite, 99))
    assert peer.one(ResponseDiscarded).fault.count("Content-Length") == 1


def test_a_200_with_another_via_is_told() -> None:
    peer = Peer()
    call, invite = called(peer)
    branch = invite.header("Via").partition("branch=")[2].partition(";")[0].encode()
    peer.send_raw(answer(invite).replace(branch, b"z9hG4bKother"))
    told = peer.one(ResponseDiscarded)
    assert (told.call, told.status) == (call, 200)
    assert "Via" in told.fault


def test_a_bad_response_to_nobody_is_no_news_of_a_call() -> None:
    peer = Peer()
    _, invite = called(peer)
    peer.send_raw(
        answer(invite, 99)
        .replace(b"branch=z9hG4bK", b"branch=z9hG4bKnot")
        .replace(b"Call-ID: ", b"Call-ID: x")
    )
    assert peer.kinds() == ["MessageDiscarded"]
    assert peer.one(MessageDiscarded).answered is None


@pytest.mark.parametrize(
    "damage",
    [
        (b"SIP/2.0 200", b"\0SIP/2.0 200"),
        (b"192.0.2.99>", b"192.0.2.99>\0"),
        (b"INVITE\r\n", b"INVITE\0\r\n"),
        (b"Content-Type", b"\0Content-Type"),
        (b"Content-Length: 4", b"Content-Length: 4\0"),
        (b"v=0\r", b"v=0\r\0\0"),
        (b"200 OK", b"200 OK\0"),
    ],
)
def test_nul_octets_in_a_response_cost_nothing(damage: tuple[bytes, bytes]) -> None:
    peer = Peer()
    call, invite = called(peer)
    peer.send_raw(answer(invite).replace(*damage))
    answered = peer.one(CallAnswered)
    assert (answered.call, answered.response.body) == (call, b"v=0\r")
