from __future__ import annotations

import pytest

from callwright.sip.call import Call, CallState
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallEnded,
    CallForked,
    CallProgressed,
    CallReceived,
    OfferAnswered,
    RequestReceived,
)
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import Uri
from tests.kit.peer import LOCAL, Peer, request, tag_of
from tests.kit.wire import Sent

PEER_CONTACT = "Contact: <sip:peer@192.0.2.99:5060>"


def invite(peer: Peer) -> tuple[Call, Sent]:
    call = peer.endpoint.invite("sip:peer@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now, body=b"offer")
    return call, peer.listen()[0]


def inbound(peer: Peer, *, cseq: int = 1, extra: str = "") -> tuple[Call, str]:
    """A call from the peer, answered and acknowledged; and our tag."""
    peer.send(request("INVITE", body="offer", cseq=cseq, extra=extra))
    call = peer.one(CallReceived).call
    call.answer(b"answer", now=peer.now)
    tag = tag_of(peer.listen()[-1])
    peer.send(request("ACK", branch="z9hG4bKack", to_tag=tag, cseq=cseq))
    assert call.state is CallState.CONFIRMED
    return call, tag


# -- route sets


def test_the_callers_route_set_is_the_record_route_backwards_and_loose() -> None:
    peer = Peer()
    call, sent = invite(peer)
    routes = "Record-Route: <sip:192.0.2.71;lr>\nRecord-Route: <sip:192.0.2.72;lr>\n"
    peer.answer(sent, 200, tag="b", extra=routes + "Contact: <sip:bob@10.0.0.9:5070>")
    call.acknowledge(now=peer.now)
    ack = peer.listen()[0]
    assert ack.text.startswith("ACK sip:bob@10.0.0.9:5070 SIP/2.0")
    assert [line for line in ack.text.split("\r\n") if line.startswith("Route:")] == [
        "Route: <sip:192.0.2.72;lr>",
        "Route: <sip:192.0.2.71;lr>",
    ]
    assert ack.hop.remote == Address("192.0.2.72", 5060)


def test_the_callees_route_set_is_the_record_route_as_it_stands() -> None:
    peer = Peer()
    call, _ = inbound(peer, extra="Record-Route: <sip:192.0.2.71;lr>, <sip:192.0.2.72;lr>")
    call.hangup(now=peer.now)
    bye = peer.listen()[0]
    assert bye.text.startswith("BYE sip:peer@192.0.2.99:5060 SIP/2.0")
    assert [line for line in bye.text.split("\r\n") if line.startswith("Route:")] == [
        "Route: <sip:192.0.2.71;lr>",
        "Route: <sip:192.0.2.72;lr>",
    ]
    assert bye.hop.remote.host == "192.0.2.71"


def test_our_answer_copies_the_record_route() -> None:
    peer = Peer()
    peer.send(request("INVITE", extra="Record-Route: <sip:192.0.2.71;lr>"))
    peer.one(CallReceived).call.ring(now=peer.now)
    ringing = peer.listen()[-1]
    assert ringing.header("Record-Route") == "<sip:192.0.2.71;lr>"
    assert ringing.header("Contact") == "<sip:alice@192.0.2.1:5060>"


def test_a_strict_router_is_put_into_the_request_uri() -> None:
    peer = Peer()
    call, sent = invite(peer)
    routes = "Record-Route: <sip:192.0.2.71;lr>\nRecord-Route: <sip:192.0.2.72>\n"
    peer.answer(sent, 200, tag="b", extra=routes + "Contact: <sip:bob@10.0.0.9>")
    call.acknowledge(now=peer.now)
    ack = peer.listen()[0]
    assert ack.text.startswith("ACK sip:192.0.2.72 SIP/2.0")
    assert [line for line in ack.text.split("\r\n") if line.startswith("Route:")] == [
        "Route: <sip:192.0.2.71;lr>",
        "Route: <sip:bob@10.0.0.9>",
    ]


def test_a_name_in_the_contact_is_looked_up_by_the_driver_or_goes_the_way_the_dialog_came() -> None:
    for found in (None, Address("192.0.2.77", 5060)):

        def hop_for(uri: Uri, base: Hop, found: Address | None = found) -> PermittedHop | None:
            assert uri.host == "pbx.example"
            return found and PermittedHop(base.transport, base.local, found)

        peer = Peer(EndpointConfig(hop_for=hop_for))
        call, sent = invite(peer)
        peer.answer(sent, 200, tag="b", extra="Contact: <sip:bob@pbx.example>")
        call.acknowledge(now=peer.now)
        assert peer.listen()[0].hop.remote == (found or peer.hop.remote)


def test_over_tcp_the_connection_of_the_dialog_is_kept_whatever_the_contact_says() -> None:
    peer = Peer(transport=Transport.TCP)
    call, sent = invite(peer)
    peer.answer(sent, 200, tag="b", extra="Contact: <sip:bob@10.0.0.9:5070;transport=tcp>")
    call.acknowledge(now=peer.now)
    assert peer.listen()[0].hop == peer.hop
    peer.endpoint.transport_failed(peer.hop, "connection lost", peer.now)
    call.hangup(now=peer.now)
    assert peer.listen()[0].hop.remote == Address("10.0.0.9", 5070)


def test_use_hop_and_the_hop_of_acknowledge_win_over_the_route_set() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 200, tag="b", extra="Contact: <sip:bob@10.0.0.9>")
    other = PermittedHop(Transport.UDP, peer.hop.local, Address("192.0.2.50", 5080))
    call.acknowledge(now=peer.now, hop=other)
    assert peer.listen()[0].hop == other
    call.use_hop(peer.hop)
    call.hangup(now=peer.now)
    assert peer.listen()[0].hop == peer.hop


def test_a_hop_of_one_dialog_is_no_way_to_another_branch() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 200, tag="b1", extra="Contact: <sip:first@pbx.example>")
    looked_up = PermittedHop(Transport.UDP, peer.hop.local, Address("192.0.2.50", 5080))
    call.use_hop(looked_up)
    call.acknowledge(now=peer.now)
    assert peer.listen()[0].hop == looked_up
    told = peer.answer(sent, 200, tag="b2", extra="Contact: <sip:second@192.0.2.88>")
    assert {message.hop.remote.host for message in told} == {"192.0.2.88"}
    call.hangup(now=peer.now)
    assert peer.listen()[0].hop == looked_up


def test_a_hop_that_was_said_before_the_answer_is_the_way_to_every_branch() -> None:
    """A phone behind a NAT: none of its Contacts leads anywhere."""
    peer = Peer()
    call, sent = invite(peer)
    call.use_hop(peer.hop)
    for tag in ("b1", "b2"):
        told = peer.answer(sent, 200, tag=tag, extra="Contact: <sip:x@10.0.0.9>")
        call.acknowledge(now=peer.now)
        assert {message.hop for message in (*told, *peer.listen())} == {peer.hop}


# -- targets and numbers


def test_a_reinvite_moves_the_remote_target() -> None:
    peer = Peer()
    call, tag = inbound(peer)
    moved = request("INVITE", branch="z9hG4bKre", to_tag=tag, cseq=2, body="offer")
    peer.send(moved.replace("Contact: <sip:peer@192.0.2.99:5060>", "Contact: <sip:peer@192.0.2.98:5066>"))
    call.accept_offer(b"answer", now=peer.now)
    peer.listen()
    peer.send(request("ACK", branch="z9hG4bKack2", to_tag=tag, cseq=2))
    call.hangup(now=peer.now)
    bye = peer.listen()[-1]
    assert bye.text.startswith("BYE sip:peer@192.0.2.98:5066")
    assert bye.hop.remote == Address("192.0.2.98", 5066)


def test_the_answer_to_our_reinvite_moves_the_remote_target() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 200, tag="b", extra=PEER_CONTACT)
    call.acknowledge(now=peer.now)
    peer.listen()
    call.reinvite(b"hold", now=peer.now)
    again = peer.listen()[0]
    assert again.header("CSeq") == "2 INVITE"
    told = peer.answer(again, 200, extra="Contact: <sip:peer@192.0.2.97>")
    assert told[0].text.startswith("ACK sip:peer@192.0.2.97")
    assert peer.one(OfferAnswered)


def test_a_request_with_a_lower_number_is_answered_500() -> None:
    peer = Peer()
    _, tag = inbound(peer, cseq=10)
    peer_info = request("INFO", branch="z9hG4bKi", to_tag=tag, cseq=9)
    assert peer.send(peer_info)[0].start == "500 INFO"


def test_numbers_may_leave_gaps() -> None:
    peer = Peer()
    _, tag = inbound(peer)
    peer.send(request("INFO", branch="z9hG4bKi", to_tag=tag, cseq=700))
    assert peer.one(RequestReceived).request.method == "INFO"


def test_the_wrong_tag_of_the_peer_is_answered_481() -> None:
    peer = Peer()
    _, tag = inbound(peer)
    assert (
        peer.send(request("BYE", branch="z9hG4bKb", to_tag=tag, from_tag="else", cseq=2))[0].start
        == "481 BYE"
    )


def test_bye_before_the_answer_withdraws_the_call() -> None:
    peer = Peer()
    peer.send(request("INVITE"))
    call = peer.one(CallReceived).call
    call.ring(now=peer.now)
    tag = tag_of(peer.listen()[-1])
    told = peer.send(request("BYE", branch="z9hG4bKb", to_tag=tag, cseq=2))
    assert sorted(sent.start for sent in told) == ["200 BYE", "487 INVITE"]
    assert peer.one(CallCanceled)


def test_bye_before_the_ack_ends_the_call_and_the_repetition() -> None:
    peer = Peer()
    peer.send(request("INVITE"))
    call = peer.one(CallReceived).call
    call.answer(now=peer.now)
    tag = tag_of(peer.listen()[-1])
    peer.send(request("BYE", branch="z9hG4bKb", to_tag=tag, cseq=2))
    assert peer.one(CallEnded)
    peer.clock.advance(10)
    assert peer.starts().count("200 INVITE") == 1


# -- forks


def test_every_branch_that_rings_has_an_early_dialog() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 180, tag="b1", extra=PEER_CONTACT)
    peer.answer(sent, 183, tag="b2", extra=PEER_CONTACT, body="early")
    peer.answer(sent, 180, tag="b1", extra=PEER_CONTACT)
    assert list(call.early_dialogs) == ["b1", "b2"]
    assert [event.to_tag for event in peer.heard if isinstance(event, CallProgressed)] == ["b1", "b2", "b1"]


def test_a_second_branch_that_answers_is_acknowledged_and_hung_up() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 180, tag="b1", extra=PEER_CONTACT)
    peer.answer(sent, 200, tag="b1", extra=PEER_CONTACT)
    call.acknowledge(now=peer.now)
    peer.listen()
    told = peer.answer(sent, 200, tag="b2", extra="Contact: <sip:second@192.0.2.88>")
    assert [message.start for message in told] == ["ACK", "BYE"]
    assert all(";tag=b2" in message.header("To") for message in told)
    assert told[0].hop.remote.host == "192.0.2.88"
    assert peer.one(CallForked).call is call
    again = peer.answer(sent, 200, tag="b2", extra="Contact: <sip:second@192.0.2.88>")
    assert [message.start for message in again] == ["ACK"]
    assert again[0].data == told[0].data
    assert call.state is CallState.CONFIRMED
    assert peer.one(CallAnswered)


def test_the_dialog_of_the_answer_is_the_one_that_counts() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 180, tag="b1", extra="Contact: <sip:one@192.0.2.81>")
    peer.answer(sent, 180, tag="b2", extra="Contact: <sip:two@192.0.2.82>")
    peer.answer(sent, 200, tag="b2", extra="Contact: <sip:two@192.0.2.83>")
    call.acknowledge(now=peer.now)
    assert peer.listen()[0].text.startswith("ACK sip:two@192.0.2.83")
    assert call.remote.tag == "b2"
    assert not call.early_dialogs


def test_a_flood_of_branches_and_provisionals_is_bounded() -> None:
    peer = Peer()
    call, sent = invite(peer)
    for number in range(1000):
        peer.answer(sent, 180, tag=f"b{number}", extra=PEER_CONTACT)
    assert len(call.early_dialogs) == peer.endpoint.config.limits.early_dialogs
    assert len(call.timeline.provisionals) == peer.endpoint.config.limits.provisionals
    assert len(peer.heard) == peer.endpoint.config.limits.provisionals


def test_a_late_2xx_after_giving_up_is_acknowledged_and_hung_up() -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, 180, tag="b", extra=PEER_CONTACT)
    call.cancel(now=peer.now)
    assert [message.start for message in peer.listen()] == ["CANCEL"]
    told = peer.answer(sent, 200, tag="b", extra=PEER_CONTACT)
    assert [message.start for message in told] == ["ACK", "BYE"]
    assert peer.one(CallEnded)
    assert [m.start for m in peer.answer(sent, 200, tag="b", extra=PEER_CONTACT)] == ["ACK"]


@pytest.mark.parametrize("status", [180, 200])
def test_a_response_without_contact_leaves_the_target_where_it_was(status: int) -> None:
    peer = Peer()
    call, sent = invite(peer)
    peer.answer(sent, status, tag="b")
    assert str(call.remote_target) == "sip:peer@192.0.2.99"
