"""Reliable provisional responses (RFC 3262) of the load loop, on both sides."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.generator.load_peer import Peer, counts, gathered, header, loop_to, until

RING = "Require: 100rel\r\nRSeq: {}\r\n"
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


def only(messages: list[bytes], method: str) -> list[bytes]:
    return [message for message in messages if message.startswith(f"{method} ".encode())]


# -- as the caller


def test_a_reliable_ringing_is_acknowledged_once_and_the_bye_counts_on(peer: Peer) -> None:
    loop = loop_to(peer, hold=0.1)
    (invite,) = until(loop, peer.take)
    assert "100rel" in header(invite, "Supported")
    ringing = peer.contact() + RING.format(700)
    peer.respond(invite, "180 Ringing", extra=ringing)
    (prack,) = until(loop, peer.take)
    assert prack.startswith(f"PRACK sip:far@127.0.0.1:{peer.address.port} ".encode())
    assert (header(prack, "RAck"), header(prack, "CSeq")) == ("700 1 INVITE", "2 PRACK")
    assert header(prack, "To").endswith(";tag=far")
    peer.respond(prack, "200 OK")
    peer.respond(invite, "180 Ringing", extra=ringing)  # a repeat
    peer.respond(invite, "183 Session Progress", extra=peer.contact() + RING.format(702))  # out of turn
    loop.run(0.1)
    assert peer.take() == []
    peer.respond(invite, "183 Session Progress", extra=peer.contact() + RING.format(701))
    (prack,) = until(loop, peer.take)
    assert (header(prack, "RAck"), header(prack, "CSeq")) == ("701 1 INVITE", "3 PRACK")
    peer.respond(prack, "200 OK")
    peer.respond(invite, "200 OK", extra=peer.contact())
    (ack,) = until(loop, peer.take)
    assert header(ack, "CSeq") == "1 ACK"
    (bye,) = until(loop, peer.take)
    assert header(bye, "CSeq") == "4 BYE"
    peer.respond(bye, "200 OK")
    assert loop.run(2)
    assert {"answered": 1, "reliable": 2, "pracks": 2, "repeated": 1}.items() <= counts(loop).items()
    loop.close()


def test_a_prack_is_repeated_until_its_answer_as_it_was(peer: Peer) -> None:
    loop = loop_to(peer, t1=0.04, hold=5)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact() + RING.format(1))
    heard: list[bytes] = []
    until(loop, lambda: gathered(heard, peer.take(), 3))
    assert len(set(heard)) == 1
    peer.respond(heard[0], "200 OK")
    loop.run(0.1)
    peer.take()
    loop.run(0.3)
    assert peer.take() == []
    loop.close()


def test_a_prack_that_is_never_answered_is_counted_and_the_call_goes_on(peer: Peer) -> None:
    loop = loop_to(peer, t1=0.01, hold=0)
    invite, *_ = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact() + RING.format(1))
    until(loop, lambda: counts(loop).get("pracks_failed"))
    peer.take()
    peer.respond(invite, "200 OK", extra=peer.contact())
    bye, *_ = until(loop, lambda: only(peer.take(), "BYE"))
    peer.respond(bye, "200 OK")
    assert loop.run(2)
    assert {"answered": 1, "pracks_failed": 1}.items() <= counts(loop).items()
    loop.close()


def test_a_challenged_prack_is_sent_with_credentials(peer: Peer) -> None:
    accounts = {"accounts": ((b"1001", b"s3cret"),), "user_column": 0, "password_column": 1}
    loop = loop_to(peer, hold=5, **accounts)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact() + RING.format(9))
    (prack,) = until(loop, peer.take)
    peer.respond(
        prack,
        "407 Proxy Authentication Required",
        extra='Proxy-Authenticate: Digest realm="r", nonce="n"\r\n',
    )
    (again,) = until(loop, peer.take)
    assert header(again, "CSeq") == "3 PRACK"
    assert 'username="1001"' in header(again, "Proxy-Authorization")
    assert header(again, "RAck") == "9 1 INVITE"
    loop.close()


def test_a_cancel_after_a_prack_goes_where_the_invite_went(peer: Peer) -> None:
    """The Contact of the early dialog leads elsewhere, where requests within the dialog may go."""
    elsewhere = Peer()
    loop = loop_to(peer, ring_for=0.2)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=elsewhere.contact() + RING.format(1))
    prack, *_ = until(loop, elsewhere.take)
    assert prack.startswith(b"PRACK ")
    cancel = until(loop, lambda: only(peer.take(), "CANCEL"))[0]
    assert header(cancel, "Via") == header(invite, "Via")
    loop.close()
    elsewhere.close()


def test_a_prack_follows_no_stranger(peer: Peer) -> None:
    loop = loop_to(peer, hold=5)
    (invite,) = until(loop, peer.take)
    stranger = "Contact: <sip:victim@192.0.2.1:5060>\r\n"
    peer.respond(invite, "180 Ringing", extra=stranger + RING.format(1))
    assert until(loop, peer.take)[0].startswith(
        b"PRACK sip:victim@192.0.2.1:5060 "
    )  # to the target all the same
    loop.close()


def test_required_is_said_and_not_supported_neither(peer: Peer) -> None:
    loop = loop_to(peer, words={"prack": "required"}, prack="required")
    (invite,) = until(loop, peer.take)
    assert header(invite, "Require") == "100rel"
    peer.respond(invite, "420 Bad Extension", extra="Unsupported: 100rel\r\n")
    until(loop, lambda: counts(loop).get("status"))
    assert loop.codes() == {420: 1}
    loop.close()
    loop = loop_to(peer, words={"prack": "no"}, prack="no")
    (invite,) = until(loop, lambda: only(peer.take(), "INVITE"))
    assert "100rel" not in header(invite, "Supported")
    peer.respond(invite, "180 Ringing", extra=peer.contact() + RING.format(1))
    loop.run(0.1)
    assert peer.take() == []
    loop.close()


# -- as the answering side


class Caller:
    """Calls a loop, message by message."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.connect(tuple(loop.local))
        self.sock.setblocking(False)
        self.to = "<sip:load@127.0.0.1>"

    def send(self, method: str, cseq: int, extra: str = "", body: str = "") -> None:
        host, port = self.sock.getsockname()
        number = "1" if method == "ACK" else str(cseq)
        self.sock.send(
            f"{method} sip:load@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{method}{cseq}\r\n"
            f"From: <sip:me@{host}>;tag=mine\r\nTo: {self.to}\r\nCall-ID: one@here\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:me@{host}:{port}>\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def take(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            try:
                found.append(self.sock.recv(65536))
            except BlockingIOError:
                return found

    def hears(self, status: int) -> bytes:
        """The next response with that status; others before it are passed over."""
        heard: list[bytes] = []

        def come() -> list[bytes]:
            heard.extend(self.take())
            return [one for one in heard if one.startswith(f"SIP/2.0 {status} ".encode())]

        answer: bytes = until(self.loop, come)[0]
        self.to = header(answer, "To")
        return answer


@contextmanager
def calling(words: dict[str, Any] | None = None, **more: Any) -> Iterator[Caller]:
    caller = Caller(loop_to(None, words, calls=1, **more))
    yield caller
    caller.sock.close()
    caller.loop.close()


def test_who_requires_it_is_rung_until_the_prack_and_answered_only_then() -> None:
    with calling(t1=0.04) as caller:
        caller.send("INVITE", 1, "Require: 100rel\r\n", SDP)
        ringing = caller.hears(180)
        assert header(ringing, "Require") == "100rel"
        rseq = int(header(ringing, "RSeq"))
        assert 1 <= rseq < 2**31
        assert caller.hears(180) == ringing  # repeated, and no 200 meanwhile
        caller.send("PRACK", 2, f"RAck: {rseq} 1 INVITE\r\n")
        assert header(caller.hears(200), "CSeq") in ("2 PRACK", "1 INVITE")
        loop = caller.loop
        until(loop, lambda: counts(loop).get("established"))
        caller.send("PRACK", 2, f"RAck: {rseq} 1 INVITE\r\n")  # our 200 was lost
        until(loop, lambda: any(b"CSeq: 2 PRACK" in one for one in caller.take()))
        caller.send("PRACK", 3, f"RAck: {rseq} 1 INVITE\r\n")
        caller.hears(481)
        assert {"reliable": 1, "pracks": 1}.items() <= counts(loop).items()


@pytest.mark.parametrize(
    ("rack", "status"),
    [("RAck: {} 1 INVITE\r\n", 481), ("RAck: 7\r\n", 400), ("RAck: 7 1 BYE\r\n", 400), ("", 400)],
)
def test_a_prack_for_something_else_is_refused_and_the_ringing_goes_on(rack: str, status: int) -> None:
    with calling(t1=0.04) as caller:
        caller.send("INVITE", 1, "Require: 100rel\r\n", SDP)
        other = int(header(caller.hears(180), "RSeq")) + 1
        caller.send("PRACK", 2, rack.format(other))
        caller.hears(status)
        caller.hears(180)
        assert "pracks" not in counts(caller.loop)


def test_without_a_prack_the_call_is_refused_after_64_t1() -> None:
    with calling(t1=0.01) as caller:
        caller.send("INVITE", 1, "Require: 100rel\r\n", SDP)
        caller.hears(180)
        caller.hears(504)
        caller.send("ACK", 1)
        loop = caller.loop
        until(loop, lambda: counts(loop).get("no_prack"))
        assert "established" not in counts(loop)


def test_without_an_offer_ours_stands_in_the_ringing_and_not_in_the_answer() -> None:
    with calling() as caller:
        caller.send("INVITE", 1, "Require: 100rel\r\n")
        ringing = caller.hears(180)
        assert b"m=audio" in ringing
        caller.send("PRACK", 2, f"RAck: {header(ringing, 'RSeq')} 1 INVITE\r\n", SDP)
        heard: list[bytes] = []
        until(caller.loop, lambda: gathered(heard, caller.take(), 2))
        answer = next(one for one in heard if b"CSeq: 1 INVITE" in one)
        assert answer.startswith(b"SIP/2.0 200 ")
        assert b"m=audio" not in answer


def test_offers_that_overlap_are_turned_away() -> None:
    """RFC 3262 section 5, RFC 3311 section 5.2: theirs in the INVITE is not answered yet."""
    with calling(ring_time=5) as caller:
        caller.send("INVITE", 1, "Require: 100rel\r\n", SDP)
        ringing = caller.hears(180)
        caller.send("UPDATE", 2, "", SDP)
        assert header(caller.hears(500), "Retry-After") == "1"
        caller.send("PRACK", 3, f"RAck: {header(ringing, 'RSeq')} 1 INVITE\r\n", SDP)
        caller.hears(488)


@pytest.mark.parametrize(
    ("mode", "wants", "status", "said"),
    [
        ("no", "Require: 100rel\r\n", 420, "Unsupported: 100rel"),
        ("required", "", 421, "Require: 100rel"),
        ("offered", "Require: 100rel, nonsense\r\n", 420, "Unsupported: nonsense"),
    ],
)
def test_who_wants_something_else_is_refused_and_told_what(
    mode: str, wants: str, status: int, said: str
) -> None:
    with calling({"prack": mode}, prack=mode) as caller:
        caller.send("INVITE", 1, wants, SDP)
        assert said.encode() in caller.hears(status)
        caller.send("ACK", 1)
        until(caller.loop, lambda: counts(caller.loop).get("status"))
        assert caller.loop.codes() == {status: 1}


def test_a_cancel_ends_the_reliable_ringing() -> None:
    with calling(t1=0.04, ring_time=5) as caller:
        caller.send("INVITE", 1, "Supported: 100rel\r\nRequire: 100rel\r\n", SDP)
        caller.hears(180)
        to, caller.to = caller.to, "<sip:load@127.0.0.1>"
        caller.send("CANCEL", 1)
        caller.hears(487)
        caller.to = to
        caller.send("ACK", 1)
        until(caller.loop, lambda: counts(caller.loop).get("canceled"))
        caller.take()
        caller.loop.run(0.2)
        assert not any(re.match(rb"SIP/2.0 180", one) for one in caller.take())


def test_offered_is_plain_ringing_for_who_only_supports_it() -> None:
    with calling() as caller:
        caller.send("INVITE", 1, "Supported: 100rel\r\n", SDP)
        assert b"RSeq" not in caller.hears(180)
        caller.hears(200)


@pytest.mark.parametrize(
    ("transport", "status"),
    [("RTP/AVP", 200), ("RTP/AVPF", 200), ("RTP/SAVP", 488), ("UDP/TLS/RTP/SAVPF", 488), ("udptl", 488)],
)
def test_a_load_answers_plain_rtp_alone(transport: str, status: int) -> None:
    sdp = SDP.replace("RTP/AVP", transport)
    with calling() as caller:
        caller.send("INVITE", 1, "", sdp)
        answer = caller.hears(status)
        assert (b"Warning: 302 " in answer) == (status == 488)
        caller.send("ACK", 1)
        if status == 200:
            until(caller.loop, lambda: counts(caller.loop).get("confirmed"))
            caller.send("UPDATE", 2, "", SDP.replace("RTP/AVP", "RTP/SAVP"))  # nor does it change to SRTP
            caller.hears(488)
        assert counts(caller.loop)["encrypted"] == 1
