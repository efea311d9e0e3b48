from __future__ import annotations

import pytest

from callwright.sip.call import CallState
from callwright.sip.config import EndpointConfig, Limits
from callwright.sip.digest import Credentials
from callwright.sip.events import (
    CallCanceled,
    CallConfirmed,
    CallEnded,
    CallReceived,
    CallTurnedAway,
    MessageDiscarded,
    OfferReceived,
    RequestAnswered,
    RequestFailed,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    StreamBroken,
)
from callwright.sip.transport import Address, Transport
from tests.kit.peer import LOCAL, THEIRS, Peer, request, tag_of

# -- what is refused by its form


def test_a_known_method_that_is_not_allowed_gets_405_and_an_unknown_one_501() -> None:
    peer = Peer()
    refused = peer.send(request("PUBLISH"))[0]
    assert refused.start == "405 PUBLISH"
    assert "INVITE" in refused.header("Allow")
    unknown = peer.send(request("NEWMETHOD", branch="z9hG4bK2"))[0]
    assert unknown.start == "501 NEWMETHOD"
    assert unknown.header("Allow")


def test_a_required_extension_that_we_lack_gets_420() -> None:
    told = Peer().send(request("INVITE", extra="Require: 100rel, nothing"))
    assert [sent.start for sent in told] == ["420 INVITE"]
    assert told[0].header("Unsupported") == "100rel, nothing"
    assert tag_of(told[0])


def test_a_body_that_we_cannot_read_gets_415() -> None:
    peer = Peer()
    told = peer.send(request("INVITE", body="<x/>", extra="Content-Type: application/xml"))
    assert (told[0].start, told[0].header("Accept")) == (
        "415 INVITE",
        "application/sdp, multipart/mixed",
    )
    squeezed = request(
        "MESSAGE", branch="z9hG4bK2", body="x", extra="Content-Type: text/plain\nContent-Encoding: gzip"
    )
    assert peer.send(squeezed)[0].header("Accept-Encoding") == "identity"


def multipart(disposition: str) -> str:
    return (
        "--d\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
        f"--d\r\nContent-Type: application/isup\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--d--"
    )


@pytest.mark.parametrize(
    ("disposition", "start"),
    [("signal; handling=optional", "100 INVITE"), ("signal; handling=required", "415 INVITE")],
)
def test_a_part_whose_handling_is_required_has_to_be_understood(disposition: str, start: str) -> None:
    peer = Peer()
    body, kind = multipart(disposition), "Content-Type: multipart/mixed;boundary=d"
    told = peer.send(request("INVITE", body=body, extra=kind))[0]
    assert told.start == start
    if start[0] == "4":
        assert told.header("Accept") == "application/sdp, multipart/mixed"
        assert peer.one(CallTurnedAway).why == "it demands that we understand application/isup"


@pytest.mark.parametrize(
    ("extra", "status", "why"),
    [
        ("Require: 100rel", 420, "it requires 100rel, which Callwright does not have"),
        ("Content-Type: application/xml", 415, "its body is application/xml"),
        ("Content-Encoding: gzip", 415, "its body is encoded as gzip"),
    ],
)
def test_a_call_that_is_refused_for_its_form_is_told_once(extra: str, status: int, why: str) -> None:
    peer = Peer()
    invite = request("INVITE", body="<x/>", extra=extra)
    assert peer.send(invite)[0].start == f"{status} INVITE"
    peer.send(invite)
    told = peer.one(CallTurnedAway)
    assert (told.status, told.why) == (status, why)
    assert str(told.call.remote.uri) == "sip:peer@192.0.2.99"
    assert not told.call.answer(b"v=0", now=peer.now), "it is over"
    assert not list(peer.endpoint.calls)


def talking(peer: Peer) -> str:
    """A call of the peer, up; our tag."""
    tag = tag_of(peer.send(request("INVITE", body="v=0"))[0])
    call = peer.one(CallReceived).call
    call.answer(b"v=0", now=peer.now)
    tag = tag_of(peer.listen()[-1])
    peer.send(request("ACK", branch="z9hG4bKack", to_tag=tag))
    return tag


def test_an_update_with_an_offer_is_answered_with_ours_and_not_acknowledged() -> None:
    peer = Peer()
    tag = talking(peer)
    update = request("UPDATE", branch="z9hG4bKu", to_tag=tag, cseq=2, body="v=0 held")
    assert peer.send(update) == []
    assert peer.send(request("UPDATE", branch="z9hG4bKv", to_tag=tag, cseq=3, body="v=0 again"))[0].start == (
        "500 UPDATE"
    ), "one at a time (RFC 3311 section 5.2)"
    offered = peer.one(OfferReceived)
    assert offered.request.body == b"v=0 held"
    offered.call.accept_offer(b"v=0 ours", now=peer.now)
    answer = peer.listen()[0]
    assert (answer.start, answer.body) == ("200 UPDATE", "v=0 ours")
    assert answer.header("Contact")
    peer.clock.advance(40)
    assert not peer.endpoint.pending().unconfirmed
    assert [call.state for call in peer.endpoint.calls] == [CallState.CONFIRMED]


def test_an_update_without_an_offer_is_answered_at_once_and_moves_the_target() -> None:
    peer = Peer()
    tag = talking(peer)
    told = peer.send(
        request("UPDATE", branch="z9hG4bKu", to_tag=tag, cseq=2).replace(
            "peer@192.0.2.99:5060>", "moved@192.0.2.98>"
        )
    )
    assert told[0].start == "200 UPDATE"
    answered = peer.one(RequestAnswered)
    assert answered.request.method == "UPDATE"
    assert answered.call.remote_target.user == "moved"


@pytest.mark.parametrize("known", [True, False])
def test_a_challenged_bye_is_answered_where_there_is_a_password(known: bool) -> None:
    peer = Peer()
    talking(peer)
    call = peer.one(CallReceived).call
    if known:
        call.authenticate(Credentials("alice", "secret"))
    call.hangup(now=peer.now)
    bye = peer.listen()[-1]
    told = peer.answer(bye, 407, extra='Proxy-Authenticate: Digest realm="r", nonce="n1"')
    assert [sent.start for sent in told] == (["BYE"] if known else [])
    if known:
        assert 'nonce="n1"' in told[0].header("Proxy-Authorization")
        assert not peer.heard or "CallEnded" not in peer.kinds()
        peer.answer(told[0], 200)
    ended = peer.one(CallEnded)
    assert ended.response is not None
    assert ended.response.status == (200 if known else 407)


def test_a_scheme_that_we_do_not_know_gets_416() -> None:
    assert Peer().send(request("OPTIONS", uri="nobodyKnows:this"))[0].start == "416 OPTIONS"


def test_a_request_for_an_unknown_dialog_gets_481() -> None:
    peer = Peer()
    for number, method in enumerate(("INVITE", "BYE", "INFO", "MESSAGE")):
        told = peer.send(request(method, to_tag="gone", branch=f"z9hG4bK{number}"))
        assert told[0].start == f"481 {method}"
    assert peer.send(request("BYE", branch="z9hG4bKx"))[0].start == "481 BYE"


def test_a_request_that_came_by_two_ways_gets_482_the_second_time() -> None:
    peer = Peer()
    assert peer.send(request("INVITE"))[0].start == "100 INVITE"
    assert peer.send(request("INVITE", branch="z9hG4bKother"))[0].start == "482 INVITE"


def test_a_malformed_request_gets_400_and_a_malformed_response_nothing() -> None:
    peer = Peer()
    assert peer.send(request("OPTIONS", cseq_method="INVITE"))[0].text.startswith("SIP/2.0 400 ")
    assert peer.one(MessageDiscarded).answered == 400
    peer = Peer()
    told = peer.send("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nCSeq: what\n\n")
    assert told == []
    assert peer.one(MessageDiscarded).answered is None


@pytest.mark.parametrize(
    "junk", [b"hello", b"\x00\xff" * 300, b"GET / HTTP/1.1\r\n\r\n", b"INVITE", b"\r\n" * 9 + b"x"]
)
def test_junk_is_discarded_without_a_word(junk: bytes) -> None:
    peer = Peer()
    assert peer.send_raw(junk) == []
    assert peer.one(MessageDiscarded)


@pytest.mark.parametrize("ping", [b"", b"\r\n\r\n", b"\x00", b"\r\n"])
def test_keep_alives_are_no_news(ping: bytes) -> None:
    peer = Peer()
    assert peer.send_raw(ping) == []
    assert peer.heard == []


# -- strays


def test_a_response_to_nothing_and_an_ack_to_nothing_are_discarded() -> None:
    peer = Peer()
    stray = (
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKno\nFrom: <sip:a@b>;tag=1\n"
        "To: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nContent-Length: 0\n\n"
    )
    assert peer.send(stray) == []
    assert peer.send(request("ACK", to_tag="gone")) == []
    assert peer.kinds() == ["MessageDiscarded"] * 2


def test_a_cancel_for_nothing_gets_481() -> None:
    assert Peer().send(request("CANCEL"))[0].start == "481 CANCEL"


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    peer = Peer()
    peer.send(request("INVITE"))
    call = peer.one(CallReceived).call
    call.answer(now=peer.now)
    peer.listen()
    assert [sent.start for sent in peer.send(request("CANCEL"))] == ["200 CANCEL"]
    assert call.state is CallState.ANSWERED


def test_a_repeated_cancel_gets_the_same_answer_and_ends_the_call_once() -> None:
    peer = Peer()
    peer.send(request("INVITE"))
    first = peer.send(request("CANCEL"))
    assert sorted(sent.start for sent in first) == ["200 CANCEL", "487 INVITE"]
    assert [sent.start for sent in peer.send(request("CANCEL"))] == ["200 CANCEL"]
    assert peer.one(CallCanceled)


def test_a_repeated_invite_gets_the_last_answer_and_is_no_new_call() -> None:
    peer = Peer()
    peer.send(request("INVITE"))
    call = peer.one(CallReceived).call
    assert peer.send(request("INVITE"))[0].start == "100 INVITE"
    call.ring(now=peer.now)
    peer.listen()
    assert peer.send(request("INVITE"))[0].start == "180 INVITE"
    assert peer.one(CallReceived)
    assert call.timeline.retransmissions_received == 2


# -- RFC 2543 peers


def test_a_peer_without_magic_cookie_places_a_call() -> None:
    peer = Peer()
    old = {"branch": "1", "rport": False}
    peer.send(request("INVITE", **old))  # type: ignore[arg-type]
    assert [sent.start for sent in peer.send(request("INVITE", **old))] == ["100 INVITE"]  # type: ignore[arg-type]
    call = peer.one(CallReceived).call
    call.answer(now=peer.now)
    tag = tag_of(peer.listen()[-1])
    peer.send(request("ACK", to_tag=tag, **old))  # type: ignore[arg-type]
    assert peer.one(CallConfirmed)
    assert peer.send(request("BYE", to_tag=tag, cseq=2, **old))[0].start == "200 BYE"  # type: ignore[arg-type]


def test_a_peer_without_magic_cookie_cancels_and_acknowledges_the_refusal() -> None:
    peer = Peer()
    peer.send(request("INVITE", branch="", rport=False).replace(";branch=", ""))
    told = peer.send(request("CANCEL", branch="", rport=False).replace(";branch=", ""))
    assert sorted(sent.start for sent in told) == ["200 CANCEL", "487 INVITE"]
    tag = tag_of(told[-1])
    peer.send(request("ACK", branch="", rport=False, to_tag=tag).replace(";branch=", ""))
    peer.clock.advance(10)
    assert peer.starts().count("487 INVITE") == 1


# -- where responses go


def test_responses_go_to_the_source_port_when_rport_asks_for_it() -> None:
    source = Address("192.0.2.99", 40000)
    told = Peer().send(request("OPTIONS"), source=source)[0]
    assert told.hop.remote == source
    assert "received=192.0.2.99" in told.header("Via")
    assert "rport=40000" in told.header("Via")


def test_responses_go_to_the_port_of_the_via_otherwise() -> None:
    told = Peer().send(request("OPTIONS", rport=False), source=Address("198.51.100.7", 40000))[0]
    assert told.hop.remote == Address("198.51.100.7", 5060)
    assert "received=198.51.100.7" in told.header("Via")
    assert Peer().send(request("OPTIONS", rport=False))[0].header("Via").count("received") == 0


def test_responses_go_back_over_ipv6() -> None:
    ours, theirs = Address("2001:db8::1", 5060), Address("2001:db8::2", 5062)
    peer = Peer(ours=ours, theirs=theirs)
    text = request("OPTIONS").replace("192.0.2.99:5060;b", "[2001:DB8:0::2]:5062;b")
    told = peer.send(text)[0]
    assert told.hop.remote == theirs
    assert "received=2001:db8::2;" in told.header("Via") + ";"
    handle = peer.endpoint.request("OPTIONS", "sip:[2001:db8::2]:5062", local=LOCAL, hop=peer.hop, now=0)
    assert (
        handle.request.headers.get(
            "Via",
        )
        is not None
    )
    assert peer.listen()[0].header("Via").startswith("SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK")


# -- requests outside of dialogs


def test_options_are_answered_with_what_we_can_do() -> None:
    told = Peer().send(request("OPTIONS"))[0]
    assert told.start == "200 OPTIONS"
    assert told.header("Accept") == "application/sdp, multipart/mixed"
    assert "INVITE" in told.header("Allow")


def test_options_reach_the_user_when_the_user_wants_them() -> None:
    peer = Peer(EndpointConfig(answer_options=False))
    assert peer.send(request("OPTIONS")) == []
    received = peer.one(RequestReceived)
    assert peer.endpoint.respond(received.transaction, 404, now=peer.now, headers=[("X-A", "b")])
    assert not peer.endpoint.respond(received.transaction, 200, now=peer.now)
    assert peer.listen()[0].header("X-A") == "b"


def test_any_answer_to_options_is_an_answer() -> None:
    peer = Peer()
    handle = peer.endpoint.request("OPTIONS", "sip:peer@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)
    peer.answer(peer.listen()[0], 404, tag="x")
    assert peer.one(ResponseReceived).handle is handle
    assert handle.finished
    assert peer.endpoint.quiescent


def test_requests_time_out_and_fail_with_the_host_named() -> None:
    peer = Peer()
    for _ in range(2):
        peer.endpoint.request("OPTIONS", "sip:peer@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)
    peer.clock.advance(32)
    assert [type(event) for event in peer.heard] == [RequestTimedOut] * 2
    peer.endpoint.request("OPTIONS", "sip:peer@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)
    peer.endpoint.transport_failed(peer.hop, "connection refused", peer.now)
    assert "192.0.2.99:5060: connection refused" in peer.one(RequestFailed).reason


def test_verbs_of_calls_are_not_requests() -> None:
    peer = Peer()
    for method in ("INVITE", "BYE", "CANCEL", "ACK", "REGISTER"):
        with pytest.raises(ValueError, match="verb"):
            peer.endpoint.request(method, "sip:a@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)


def test_a_header_with_a_line_end_is_refused_before_anything_is_sent() -> None:
    peer = Peer()
    with pytest.raises(ValueError, match="CR or LF"):
        peer.endpoint.invite(
            "sip:a@192.0.2.99",
            local=LOCAL,
            hop=peer.hop,
            now=peer.now,
            headers=[("X", "a\r\nRoute: <sip:evil>")],
        )
    assert peer.listen() == []
    assert peer.endpoint.quiescent
    peer.clock.advance(1000)
    assert peer.starts() == []


def test_an_endpoint_that_takes_no_calls_says_480() -> None:
    assert Peer(EndpointConfig(accept_calls=False)).send(request("INVITE"))[0].start == "480 INVITE"


# -- streams


def test_a_call_arrives_octet_by_octet_over_tcp() -> None:
    peer = Peer(transport=Transport.TCP)
    data = request("INVITE").replace("/UDP", "/TCP").replace("\n", "\r\n").encode()
    for octet in data * 2:
        peer.send_raw(bytes([octet]))
    assert peer.one(CallReceived)
    assert peer.starts() == ["100 INVITE"] * 2


def test_a_ping_on_a_stream_is_answered() -> None:
    peer = Peer(transport=Transport.TCP)
    assert [sent.data for sent in peer.send_raw(b"\r\n\r\n")] == [b"\r\n"]


def test_a_stream_without_lengths_is_given_up() -> None:
    peer = Peer(transport=Transport.TCP)
    text = request("OPTIONS").replace("Content-Length: 0\n", "").replace("\n", "\r\n")
    peer.send_raw(text.encode())
    assert peer.one(StreamBroken)
    before = len(peer.starts())
    peer.send_raw(request("OPTIONS", branch="z9hG4bK9").replace("\n", "\r\n").encode())
    assert len(peer.starts()) == before


# -- floods


def test_a_flood_of_invites_is_answered_503_and_then_dropped_and_forgotten() -> None:
    peer = Peer(EndpointConfig(limits=Limits(transactions=50, events=40)))
    for number in range(500):
        peer.send(request("INVITE", branch=f"z9hG4bK{number}", call_id=f"c{number}", from_tag=f"t{number}"))
        assert sum(peer.endpoint.pending()[1:]) <= 51
    assert "503 INVITE" in peer.starts()
    assert len(list(peer.endpoint.calls)) <= 50
    peer.clock.advance(700)
    assert sum(peer.endpoint.pending()) == 0
    assert peer.endpoint.next_wake() is None


def test_events_that_nobody_takes_are_bounded() -> None:
    peer = Peer(EndpointConfig(limits=Limits(events=40)))
    for number in range(500):
        text = request("MESSAGE", branch=f"z9hG4bK{number}", call_id=f"c{number}").replace("\n", "\r\n")
        peer.endpoint.receive(text.encode(), peer.hop, peer.now)
        peer.endpoint.receive(b"junk", peer.hop, peer.now)
    assert len(peer.endpoint.events()) <= 41


def test_half_received_messages_of_many_streams_are_bounded() -> None:
    peer = Peer(EndpointConfig(limits=Limits(streams=10)), transport=Transport.TCP)
    for port in range(1000, 2000):
        peer.send_raw(b"INVITE sip:", source=Address(THEIRS.host, port))
    whole = request("OPTIONS").replace("\n", "\r\n").encode()
    assert peer.send_raw(whole)[0].start == "200 OPTIONS"
