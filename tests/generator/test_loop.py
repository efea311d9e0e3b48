"""The load loop over a real socket, and what it reads of a message, by `callwright.sip`."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.digest import compute_response, parse_parameters
from tests.generator.load_peer import Peer, counts, gathered, header, inside, loop_to, until
from tests.generator.oracle import check_message


def methods(messages: list[bytes]) -> list[str]:
    return [message.split(b" ", 1)[0].decode() for message in messages]


def test_a_call_is_acknowledged_held_and_ended(peer: Peer) -> None:
    loop = loop_to(peer, hold=0.4)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "100 Trying", tag="")
    peer.respond(invite, "180 Ringing", extra=peer.contact())
    peer.respond(invite, "200 OK", extra=peer.contact())
    (ack,) = until(loop, peer.take)
    assert header(ack, "To").endswith(";tag=far")
    assert ack.startswith(f"ACK sip:far@127.0.0.1:{peer.address.port} ".encode())
    assert header(ack, "Via") != header(invite, "Via")
    (bye,) = until(loop, peer.take)
    assert header(bye, "CSeq") == "2 BYE"
    peer.respond(bye, "200 OK")
    assert loop.run(2)
    assert counts(loop) == {
        "answered": 1, "attempted": 1, "established": 1, "peak": 1, "sent": 3, "received": 4,
    }  # fmt: skip
    loop.close()


def test_an_invite_is_repeated_at_doubling_times_until_timer_b(peer: Peer) -> None:
    loop = loop_to(peer, t1=0.04)
    assert loop.run(5)
    sent = peer.take()
    assert set(methods(sent)) == {"INVITE"}
    assert len(set(sent)) == 1  # the very same octets
    assert len(sent) in (6, 7)  # at 0, 1, 3, 7, 15, 31 and, where the machine is not late, 63 times T1
    assert counts(loop)["timeout"] == 1
    loop.close()


def test_a_refusal_is_acknowledged_on_its_branch_and_again_when_repeated(peer: Peer) -> None:
    loop = loop_to(peer)
    (invite,) = until(loop, peer.take)
    for _ in range(2):
        peer.respond(invite, "486 Busy Here")
        (ack,) = until(loop, peer.take)
        assert ack.startswith(b"ACK ")
        assert header(ack, "Via") == header(invite, "Via")
    assert loop.codes() == {486: 1}
    assert counts(loop)["status"] == 1
    loop.close()


def test_retry_after_is_kept(peer: Peer) -> None:
    loop = loop_to(peer, calls=2)
    for invite in until(loop, lambda: peer.take()):
        peer.respond(invite, "503 Service Unavailable", extra="Retry-After: 17 (busy);duration=5\r\n")
    until(loop, peer.take)
    assert counts(loop)["retry_after"] >= 1
    assert counts(loop)["retry_after_max"] == 17
    loop.close()


def test_a_repeated_answer_is_acknowledged_again(peer: Peer) -> None:
    loop = loop_to(peer, hold=10)
    (invite,) = until(loop, peer.take)
    acks = []
    for _ in range(2):
        peer.respond(invite, "200 OK", extra=peer.contact())
        acks += until(loop, peer.take)
    assert methods(acks) == ["ACK", "ACK"]
    assert acks[0] == acks[1]
    assert counts(loop)["repeated"] == 1
    loop.close()


def test_requests_follow_the_route_set_backwards(peer: Peer) -> None:
    loop = loop_to(peer)
    (invite,) = until(loop, peer.take)
    routes = f"<sip:127.0.0.1:{peer.address.port};lr>, <sip:10.0.0.1;lr>"
    peer.respond(
        invite, "200 OK", extra=peer.contact() + f"Record-Route: {routes}\r\nRecord-Route: <sip:p;lr>\r\n"
    )
    ack, bye = until(loop, peer.take)[:2]
    for request in (ack, bye):
        found = re.findall(rb"^Route: (.*?)\r", request, re.M)
        assert found == [
            b"<sip:p;lr>",
            b"<sip:10.0.0.1;lr>",
            f"<sip:127.0.0.1:{peer.address.port};lr>".encode(),
        ]
    loop.close()


def test_an_answer_that_names_a_stranger_does_not_get_our_load_there(peer: Peer) -> None:
    loop = loop_to(peer)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra="Contact: <sip:victim@192.0.2.1:5060>\r\n")
    assert methods(until(loop, peer.take))[0] == "ACK"  # to the target, whatever the Contact says
    loop.close()


def test_an_answer_without_contact_is_acknowledged_and_ended_where_the_invite_went(peer: Peer) -> None:
    loop = loop_to(peer, hold=0.05)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK")
    heard: list[bytes] = []
    until(loop, lambda: gathered(heard, peer.take(), 2))
    uri = invite.split(b" ")[1]
    assert [message.split(b" ")[:2] for message in heard] == [[b"ACK", uri], [b"BYE", uri]]
    peer.respond(heard[1], "200 OK")
    assert loop.run(2)
    assert counts(loop)["answered"] == 1
    loop.close()


def test_an_answer_without_tag_is_unexpected(peer: Peer) -> None:
    loop = loop_to(peer)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", tag="", extra=peer.contact())
    assert loop.run(1)
    assert counts(loop)["unexpected"] == 1
    loop.close()


def test_nobody_answers_so_the_call_is_canceled(peer: Peer) -> None:
    loop = loop_to(peer, ring_for=0.05)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact())
    cancel = until(loop, peer.take)[0]
    assert cancel.startswith(b"CANCEL ")
    assert header(cancel, "Via") == header(invite, "Via")
    peer.respond(cancel, "200 OK")
    peer.respond(invite, "487 Request Terminated")
    assert methods(until(loop, peer.take)) == ["ACK"]
    assert counts(loop)["no_answer"] == 1
    loop.close()


def test_an_answer_that_crosses_the_cancel_is_ended_by_bye(peer: Peer) -> None:
    loop = loop_to(peer, ring_for=0.05)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact())
    until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact())
    ack, bye = until(loop, lambda: [m for m in peer.take() if not m.startswith(b"CANCEL")])[:2]
    assert methods([ack, bye]) == ["ACK", "BYE"]
    peer.respond(bye, "200 OK")
    assert loop.run(1)
    assert {"no_answer": 1, "established": 1}.items() <= counts(loop).items()  # too late is not answered
    loop.close()


def test_who_answers_second_is_acknowledged_and_hung_up_on(peer: Peer) -> None:
    """RFC 3261 section 13.2.2.4: each branch of a proxy that forked has a dialog of its own."""
    loop = loop_to(peer, hold=0.3)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), tag="one")
    (ack,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), tag="two")
    second, bye = until(loop, lambda: found if len(found := peer.take()) == 2 else None)
    assert methods([ack, second, bye]) == ["ACK", "ACK", "BYE"]
    assert header(ack, "To").endswith(";tag=one")
    assert header(second, "To").endswith(";tag=two")
    assert header(bye, "To").endswith(";tag=two")
    peer.respond(bye, "200 OK")
    (last,) = until(loop, peer.take)
    assert last.startswith(b"BYE ")
    assert header(last, "To").endswith(";tag=one")
    assert header(last, "Via") != header(bye, "Via")
    peer.respond(last, "200 OK")
    assert loop.run(2)
    assert {"answered": 1, "established": 1, "repeated": 1}.items() <= counts(loop).items()
    loop.close()


def test_requests_of_the_far_end_within_a_call_are_agreed_to(peer: Peer) -> None:
    loop = loop_to(peer, hold=30)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "180 Ringing", extra=peer.contact())
    until(loop, lambda: counts(loop).get("received"))
    peer.send(inside(peer, invite, "INVITE", 10))
    assert b" 491 " in until(loop, peer.take)[0]
    peer.respond(invite, "200 OK", extra=peer.contact())
    until(loop, peer.take)
    offer = "v=0\r\n"
    for cseq, method, described in [
        (11, "INVITE", True),
        (12, "UPDATE", True),
        (13, "INFO", False),
        (14, "OPTIONS", False),
    ]:
        peer.send(inside(peer, invite, method, cseq, offer if described else ""))
        (answer,) = until(loop, peer.take)
        assert answer.startswith(b"SIP/2.0 200 OK\r\n")
        assert header(answer, "CSeq") == f"{cseq} {method}"
        assert (b"m=audio" in answer) == described
    peer.send(inside(peer, invite, "ACK", 11))
    loop.run(0.05)
    loop.stop(2)
    (bye,) = until(loop, peer.take)
    peer.send(inside(peer, invite, "INVITE", 15))
    assert b" 481 " in until(loop, peer.take)[0]
    peer.respond(bye, "200 OK")
    assert loop.run(2)
    assert {"answered": 1, "sent": 9, "received": 10}.items() <= counts(loop).items()
    assert "repeated" not in counts(loop)
    loop.close()


def test_the_far_end_may_hang_up(peer: Peer) -> None:
    loop = loop_to(peer, hold=10)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact())
    until(loop, peer.take)
    dialog = (
        f"Via: SIP/2.0/UDP 127.0.0.1:{peer.address.port};branch=z9hG4bKfar\r\n"
        f"From: {header(invite, 'To')};tag=far\r\nTo: {header(invite, 'From')}\r\n"
        f"Call-ID: {header(invite, 'Call-ID')}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    )
    peer.send(f"BYE sip:me@127.0.0.1 SIP/2.0\r\n{dialog}")
    (answer,) = until(loop, peer.take)
    assert answer.startswith(b"SIP/2.0 200 ")
    assert {"answered": 1, "hung_up": 1}.items() <= counts(loop).items()
    loop.close()


def test_a_port_where_nobody_listens_refuses_each_call() -> None:
    gone = Peer()
    gone.close()
    loop = loop_to(gone, calls=3)
    assert loop.run(3)
    assert counts(loop)["refused"] == 3
    loop.close()


def test_credentials_answer_a_challenge(peer: Peer) -> None:
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, registering=True, accounts=accounts, user_column=0, password_column=1)
    (first,) = until(loop, peer.take)
    challenge = 'Digest realm="here, \\"there\\"", nonce="abc", qop="auth-int,auth", opaque="xyz"'
    peer.respond(first, "401 Unauthorized", extra=f"WWW-Authenticate: {challenge}\r\n")
    (second,) = until(loop, peer.take)
    assert header(second, "CSeq") == "2 REGISTER"
    words = parse_parameters(header(second, "Authorization"))[1]
    expected = compute_response(
        algorithm="MD5",
        username="1001",
        realm='here, "there"',
        password="s3cret",
        nonce="abc",
        method="REGISTER",
        uri=words["uri"],
        qop="auth",
        cnonce=words["cnonce"],
    )
    assert words["response"] == expected
    assert words["opaque"] == "xyz"
    peer.respond(second, "200 OK")
    assert loop.run(1)
    assert {"answered": 1, "registered": 1, "challenged": 1}.items() <= counts(loop).items()
    loop.close()


def test_a_registration_that_is_too_brief_is_asked_for_once_more_and_longer(
    peer: Peer,
) -> None:
    loop = loop_to(peer, registering=True)
    (first,) = until(loop, peer.take)
    assert header(first, "Expires") == "3600"
    peer.respond(first, "423 Interval Too Brief", extra="Min-Expires: 7200\r\n")
    (second,) = until(loop, peer.take)
    assert (header(second, "Expires"), header(second, "CSeq")) == ("7200", "2 REGISTER")
    assert header(second, "Call-ID") == header(first, "Call-ID")
    peer.respond(second, "423 Interval Too Brief", extra="Min-Expires: 9000\r\n")
    assert loop.run(1)
    assert loop.codes() == {423: 1}
    loop.close()


@pytest.mark.parametrize("name", ["WWW-Authenticate", "Proxy-Authenticate"])
def test_a_challenged_bye_is_answered_and_repeated_as_it_was(peer: Peer, name: str) -> None:
    """By a server of RFC 2069, whose nonces are good for one request."""
    accounts = ((b"1001", b"s3cret"),)
    more: dict[str, Any] = {"accounts": accounts, "user_column": 0, "password_column": 1, "t1": 0.05}
    loop = loop_to(peer, **more)
    (first,) = until(loop, peer.take)
    peer.respond(first, "401 Unauthorized", extra='WWW-Authenticate: Digest realm="r", nonce="n1"\r\n')
    heard: list[bytes] = []
    until(loop, lambda: gathered(heard, peer.take(), 2))
    peer.respond(heard[1], "200 OK", extra=peer.contact())
    heard.clear()
    until(loop, lambda: gathered(heard, peer.take(), 2))
    plain = heard[1]
    assert methods(heard[:2]) == ["ACK", "BYE"]
    assert b"uthorization" not in plain
    peer.respond(plain, "401 Unauthorized", extra=f'{name}: Digest realm="r", nonce="n2"\r\n')
    heard.clear()
    authorized: list[bytes] = []

    def twice() -> bool:
        authorized.extend(message for message in peer.take() if b"uthorization" in message)
        return len(authorized) >= 2

    until(loop, twice)
    again, repeated = authorized[:2]
    assert again == repeated, "the same octets (RFC 3261 section 17.1.2.2)"
    assert header(again, "CSeq") == f"{int(header(plain, 'CSeq').split()[0]) + 1} BYE"
    assert header(again, "To") == header(plain, "To")
    reply = "Authorization" if name.startswith("WWW") else "Proxy-Authorization"
    words = parse_parameters(header(again, reply))[1]
    expected = compute_response(
        algorithm="MD5",
        username="1001",
        realm="r",
        password="s3cret",
        nonce="n2",
        method="BYE",
        uri=words["uri"],
    )
    assert (words["response"], words["uri"]) == (expected, again.split(b" ")[1].decode())
    peer.respond(plain, "401 Unauthorized", extra=f'{name}: Digest realm="r", nonce="n3"\r\n')
    peer.respond(again, "200 OK")
    assert loop.run(2)
    assert {"answered": 1, "challenged": 2}.items() <= counts(loop).items()
    loop.close()


def test_a_bye_that_is_refused_with_credentials_too_is_told(peer: Peer) -> None:
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, accounts=accounts, user_column=0, password_column=1)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact())
    heard: list[bytes] = []
    until(loop, lambda: gathered(heard, peer.take(), 2))
    for nonce in ("n1", "n2"):
        peer.respond(heard[-1], "407 No", extra=f'Proxy-Authenticate: Digest realm="r", nonce="{nonce}"\r\n')
        if nonce == "n1":
            until(loop, lambda: gathered(heard, peer.take(), 3))
    assert loop.run(2)
    assert loop.codes() == {407: 1}
    loop.close()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256-sess"])
def test_auth_int_alone_is_answered_over_the_body(peer: Peer, algorithm: str) -> None:
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, accounts=accounts, user_column=0, password_column=1)
    (first,) = until(loop, peer.take)
    challenge = f'Digest realm="r", nonce="n", algorithm={algorithm}, qop="auth-int"'
    peer.respond(first, "407 No", extra=f"Proxy-Authenticate: {challenge}\r\n")
    heard: list[bytes] = []
    until(loop, lambda: gathered(heard, peer.take(), 2))
    words = parse_parameters(header(heard[1], "Proxy-Authorization"))[1]
    body = heard[1].partition(b"\r\n\r\n")[2]
    assert len(body) > 100
    expected = compute_response(
        algorithm=algorithm,
        username="1001",
        realm="r",
        password="s3cret",
        nonce="n",
        method="INVITE",
        uri=words["uri"],
        qop="auth-int",
        cnonce=words["cnonce"],
        body=body,
    )
    assert (words["response"], words["qop"], words["nc"]) == (expected, "auth-int", "00000001")
    loop.close()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256", "SHA-256-sess"])
def test_every_hash_of_rfc_8760_is_answered(peer: Peer, algorithm: str) -> None:
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, accounts=accounts, user_column=0, password_column=1)
    (first,) = until(loop, peer.take)
    challenge = f'Digest realm="here", nonce="abc", qop="auth", algorithm={algorithm}'
    peer.respond(first, "407 Proxy Authentication Required", extra=f"Proxy-Authenticate: {challenge}\r\n")
    _, second = until(loop, peer.take)
    words = parse_parameters(header(second, "Proxy-Authorization"))[1]
    assert words["algorithm"] == algorithm
    assert words["response"] == compute_response(
        algorithm=algorithm,
        username="1001",
        realm="here",
        password="s3cret",
        nonce="abc",
        method="INVITE",
        uri=words["uri"],
        qop="auth",
        cnonce=words["cnonce"],
    )
    loop.close()


def test_of_several_challenges_the_topmost_that_is_known_is_answered(peer: Peer) -> None:
    """RFC 8760 section 2.4: the server lists what it prefers first."""
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, registering=True, accounts=accounts, user_column=0, password_column=1)
    (first,) = until(loop, peer.take)
    offers = (
        'Bearer realm="r"',
        'Digest realm="r", nonce="1", algorithm=SHA3-512',
        'Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth-int"',
        'Digest realm="r", nonce="3", algorithm=SHA-256, qop="auth"',
        'Digest realm="r", nonce="4", algorithm=MD5, qop="auth"',
    )
    extra = "".join(f"WWW-Authenticate: {offer}\r\n" for offer in offers)
    peer.respond(first, "401 Unauthorized", extra=extra)
    (second,) = until(loop, peer.take)
    words = parse_parameters(header(second, "Authorization"))[1]
    assert (words["nonce"], words["algorithm"], words["qop"]) == ("2", "SHA-256", "auth-int")
    loop.close()


def test_a_challenge_that_nobody_here_can_answer_is_the_end_of_the_call(peer: Peer) -> None:
    accounts = ((b"1001", b"s3cret"),)
    loop = loop_to(peer, accounts=accounts, user_column=0, password_column=1)
    (first,) = until(loop, peer.take)
    extra = 'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA3-512\r\n'
    peer.respond(first, "401 Unauthorized", extra=extra)
    until(loop, peer.take)
    assert loop.codes() == {401: 1}
    loop.close()


def test_a_second_challenge_is_a_refusal(peer: Peer) -> None:
    accounts = ((b"1001", b"wrong"),)
    loop = loop_to(peer, registering=True, accounts=accounts, user_column=0, password_column=1)
    for _ in range(2):
        (request,) = until(loop, peer.take)
        peer.respond(request, "401 Unauthorized", extra='WWW-Authenticate: Digest realm="r", nonce="n"\r\n')
    assert loop.run(1)
    assert loop.codes() == {401: 1}
    loop.close()


def test_stopping_ends_what_is_under_way_and_counts_it(peer: Peer) -> None:
    loop = loop_to(peer, calls=2, hold=30, rate=1000)
    invites: list[bytes] = []
    until(loop, lambda: gathered(invites, peer.take(), 2))
    peer.respond(invites[0], "200 OK", extra=peer.contact())
    peer.respond(invites[1], "180 Ringing", extra=peer.contact(), tag="other")
    until(loop, peer.take)
    loop.stop(2, 0.5)
    seen: list[bytes] = []
    until(loop, lambda: gathered(seen, peer.take(), 0) and {"BYE", "CANCEL"} <= set(methods(seen)))
    bye = next(message for message in seen if message.startswith(b"BYE"))
    peer.respond(bye, "200 OK")
    peer.respond(invites[1], "487 Request Terminated", tag="other")
    assert loop.run(3)
    assert {"answered": 1, "canceled": 1}.items() <= counts(loop).items()
    loop.close()


def test_stopping_is_bounded_when_nobody_answers(peer: Peer) -> None:
    loop = loop_to(peer, hold=30)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact())
    until(loop, peer.take)
    loop.stop(2, 0.1)
    assert loop.run(2)
    assert {"abandoned": 1, "bye_timeout": 1}.items() <= counts(loop).items()
    loop.close()


def invite_text(port: int, call: str = "c1", extra: str = "") -> str:
    return (
        f"INVITE sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call}\r\n{extra}"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {call}\r\nCSeq: 7 INVITE\r\n"
        f"Contact: <sip:a@127.0.0.1:{port}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )


def in_dialog(method: str, answer: bytes, port: int, cseq: int) -> str:
    return (
        f"{method} sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}\r\n"
        f"From: {header(answer, 'From')}\r\nTo: {header(answer, 'To')}\r\n"
        f"Call-ID: {header(answer, 'Call-ID')}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )


def answering(peer: Peer, **more: Any) -> Any:
    loop = loop_to(None, **more)
    peer.source = loop.local
    return loop


def test_a_call_is_answered_and_its_end_confirmed(peer: Peer) -> None:
    loop = answering(peer)
    port = peer.address.port
    peer.send(
        invite_text(port, extra="Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKup\r\nRecord-Route: <sip:p;lr>\r\n")
    )
    answers = until(loop, peer.take)
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"100", b"180", b"200"]
    ok = answers[-1]
    assert re.findall(rb"^Via: .*?branch=(\w+)", ok, re.M) == [b"z9hG4bKc1", b"z9hG4bKup"]
    assert header(ok, "Record-Route") == "<sip:p;lr>"
    assert header(ok, "CSeq") == "7 INVITE"
    peer.send(in_dialog("ACK", ok, port, 7))
    peer.send(in_dialog("BYE", ok, port, 8))
    until(loop, lambda: [m for m in peer.take() if b"BYE" in m])
    peer.send(in_dialog("BYE", ok, port, 8))  # the 200 was lost
    until(loop, lambda: [m for m in peer.take() if b"SIP/2.0 200" in m and b"BYE" in m])
    assert loop.run(2)
    assert {"answered": 1, "confirmed": 1, "established": 1, "repeated": 1}.items() <= counts(loop).items()
    loop.close()


def test_an_answer_is_repeated_until_its_ack_and_then_given_up(peer: Peer) -> None:
    loop = answering(peer, t1=0.02, t2=0.16)
    peer.send(invite_text(peer.address.port))
    until(loop, lambda: counts(loop).get("established"))
    assert loop.run(8)
    sent = peer.take()
    oks = [m for m in sent if m.startswith(b"SIP/2.0 200")]
    assert len(oks) >= 8
    assert len(set(oks)) == 1
    assert sent[-1].startswith(b"BYE ")
    assert counts(loop)["no_ack"] == 1
    loop.close()


def delivered() -> None:
    """Until what was sent to loopback before is at its sockets: the kernel keeps the order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(3.0)
        probe.bind(("127.0.0.1", 0))
        probe.sendto(b"x", probe.getsockname())
        probe.recv(1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the error queue of Linux")
def test_a_caller_that_is_gone_does_not_keep_another_waiting(peer: Peer) -> None:
    loop, gone = loop_to(None, calls=2), Peer()
    peer.source = gone.source = loop.local
    gone.send(invite_text(gone.address.port, "gone"))
    gone.close()
    delivered()
    loop.run(0.0)  # one turn: its answers come back as errors
    assert counts(loop)["received"] == 1
    peer.send(invite_text(peer.address.port, "here"))
    delivered()
    loop.run(0.0)
    assert counts(loop)["received"] == 2
    loop.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the error queue of Linux")
def test_a_contact_that_is_gone_costs_another_call_no_message(peer: Peer) -> None:
    loop, gone, there = loop_to(peer, calls=2, hold=10), Peer(), Peer()
    gone.close()
    invites: list[bytes] = []
    until(loop, lambda: gathered(invites, peer.take(), 2))
    peer.respond(invites[0], "200 OK", extra=gone.contact())
    peer.respond(invites[1], "200 OK", extra=there.contact())
    delivered()
    loop.run(0.0)  # one turn: the second ACK leaves behind the error about the first
    delivered()
    assert methods(there.take()) == ["ACK"]
    assert "send_errors" not in counts(loop)
    there.close()
    loop.close()


def test_a_repeated_invite_is_no_second_call(peer: Peer) -> None:
    loop = answering(peer, calls=5)
    for _ in range(3):
        peer.send(invite_text(peer.address.port))
        until(loop, peer.take)
    assert counts(loop)["attempted"] == 1
    assert counts(loop)["repeated"] == 2
    loop.close()


def test_a_call_may_be_canceled_while_it_rings(peer: Peer) -> None:
    loop = answering(peer, ring_time=5.0)
    port = peer.address.port
    peer.send(invite_text(port))
    ringing = until(loop, peer.take)[-1]
    peer.send(invite_text(port).replace("INVITE", "CANCEL"))
    answers = until(loop, lambda: [m for m in peer.take() if b"487" in m[:12]])
    peer.send(in_dialog("ACK", answers[0], port, 7))
    assert loop.run(2)
    assert ringing.startswith(b"SIP/2.0 180")
    assert counts(loop)["canceled"] == 1
    loop.close()


def test_every_call_can_be_refused(peer: Peer) -> None:
    loop = answering(peer, reject=503)
    peer.send(invite_text(peer.address.port))
    (refusal,) = until(loop, peer.take)
    assert refusal.startswith(b"SIP/2.0 503 Service Unavailable")
    peer.send(in_dialog("ACK", refusal, peer.address.port, 7))
    assert loop.run(2)
    assert loop.codes() == {503: 1}
    loop.close()


def test_rport_is_filled_in(peer: Peer) -> None:
    loop = answering(peer)
    port = peer.address.port
    peer.send(invite_text(port).replace(f"127.0.0.1:{port};branch", "10.9.8.7:5060;rport;branch"))
    answers = until(loop, peer.take)  # which come to the source, not to 10.9.8.7
    assert f"Via: SIP/2.0/UDP 10.9.8.7:5060;rport={port};received=127.0.0.1;branch" in answers[0].decode()
    loop.close()


@pytest.mark.parametrize("junk", [b"", b"\r\n\r\n", b"\0" * 3000, b"SIP/2.0", b"x" * 60_000])
def test_garbage_is_counted_and_changes_nothing(peer: Peer, junk: bytes) -> None:
    loop = answering(peer)
    peer.sock.sendto(junk, loop.local)
    peer.send(invite_text(peer.address.port))
    until(loop, lambda: counts(loop).get("established") == 1)
    loop.close()


# -- what it reads of a message

TORTURE = sorted((Path(__file__).parent.parent / "data" / "torture").glob("**/*.dat"))


@pytest.mark.parametrize("path", TORTURE, ids=lambda path: path.stem)
def test_the_torture_set_means_what_the_phone_reads(path: Path) -> None:
    check_message(path.read_bytes())


MESSAGE = (
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa,SIP/2.0/UDP h;branch=b\r\n"
    b'f: "A \\" <x>" <sip:a@b;tag=no>;tag=1\r\nTo: <sip:c@d>;tag=2;x\r\ni: id@h\r\nCSeq: 12  INVITE\r\n'
    b'm: "Q, <" <sip:e@[::1]:5070;lr?h=1>;q=1, <sip:f@g>\r\nRecord-Route: <sip:r1;lr>, "n,m" <sip:r2>\r\n'
    b'Retry-After: 5\r\nWWW-Authenticate: Digest realm="a"\r\nSubject: folded\r\n  line\r\n\r\n'
)
REQUEST = (
    b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP [::1]:5060 ; rport ;branch=z9hG4bKa\r\nFrom: sip:a@b;tag=1\r\n"
    b"To: sip:c@d\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: sip:a@b;x\r\nAuthorization: D\r\n\r\nv=0\r\n"
)


@pytest.mark.parametrize("message", [MESSAGE, REQUEST])
def test_compact_folded_and_quoted_fields_mean_what_the_phone_reads(message: bytes) -> None:
    assert check_message(message)


@given(st.data())
def test_a_mutated_message_that_both_take_means_the_same(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from([MESSAGE, REQUEST])))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(message)))
        piece = data.draw(
            st.sampled_from(
                [b"", b'"', b"<", b">", b";", b",", b"\\", b":", b"\r\n", b"\n ", b"\0", b"\xff", b"9"]
            )
        )
        cut = data.draw(st.integers(0, 12))
        message[at : at + cut] = piece
    check_message(bytes(message))


@pytest.mark.parametrize(
    "via",
    [
        b"SIP/2.0/UDP h; branch=z9hG4bKa",
        b"SIP/2.0/UDP h;Branch=z9hG4bKa;x",
        b"SIP/2.0/UDP h;branch= z9hG4bKa",
        b"SIP/2.0/UDP h;x, SIP/2.0/UDP g;branch=z9hG4bKa",
    ],
)
def test_the_branch_of_a_via_is_what_the_phone_reads(via: bytes) -> None:
    message = MESSAGE.replace(b"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa", via, 1)
    assert via in message
    assert check_message(message)


def test_the_socket_of_a_closed_loop_is_free_again(peer: Peer) -> None:
    loop = loop_to(peer)
    local = loop.local
    loop.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(local)
