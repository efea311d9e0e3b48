"""What ends the calls of a load, in memory that a guardian maps once its process is gone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from callwright.generator.wills import ANSWERED, CALLED, TAKEN, Bequest, bequests, wills_of_load
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Address, PermittedHop, Transport
from tests.generator.load_peer import Peer, loop_to, until
from tests.generator.test_loop import in_dialog, invite_text
from tests.kit.wire import seeded_entropy


def kept(loop: Any) -> list[Bequest]:
    return list(bequests(loop.descriptors[0]))


def ended(loop: Any, peer: Peer, remote: Address | None, accounts: Any = ()) -> list[bytes]:
    """What a guardian sends for the calls of this loop."""
    endpoint = Endpoint(EndpointConfig(), seeded_entropy(1))
    for will in wills_of_load(loop.descriptors[0], loop.local, remote, accounts):
        flow = will.flow
        endpoint.inherit(will, PermittedHop(Transport.UDP, flow.local, flow.remote), now=0.0)
    return [sent.data for sent in endpoint.transmissions()]


def test_nothing_is_kept_where_nobody_asked_for_it(peer: Peer) -> None:
    loop = loop_to(peer)
    until(loop, peer.take)
    assert loop.descriptors == ()
    loop.close()


def test_a_call_that_was_not_answered_is_canceled_by_its_branch(peer: Peer) -> None:
    loop = loop_to(peer, hold=10, keep_wills=True)
    (invite,) = until(loop, peer.take)
    assert [one.state for one in kept(loop)] == [CALLED]
    (cancel,) = ended(loop, peer, peer.address)
    assert cancel.startswith(b"CANCEL ")
    via = next(line for line in invite.split(b"\r\n") if line.startswith(b"Via:"))
    assert via in cancel
    loop.close()


def test_an_answered_call_is_acknowledged_and_ended_with_all_that_its_answer_said(peer: Peer) -> None:
    loop = loop_to(peer, hold=10, keep_wills=True)
    (invite,) = until(loop, peer.take)
    route = f"Record-Route: <sip:127.0.0.1:{peer.address.port};lr>\r\n"
    peer.respond(invite, "200 OK", extra=peer.contact() + route, body="v=0\r\n")
    until(loop, peer.take)
    (one,) = kept(loop)
    assert one.state == ANSWERED
    assert one.answer.endswith(b"\r\n\r\n"), "the head alone"
    ack, bye = ended(loop, peer, peer.address)
    assert ack.startswith(b"ACK sip:far@127.0.0.1")
    assert bye.startswith(b"BYE sip:far@127.0.0.1")
    assert b";tag=far" in bye
    assert f"Route: <sip:127.0.0.1:{peer.address.port};lr>".encode() in bye
    loop.close()


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "Contact: far\r\n",
        "Contact: <sip:far@127.0.0.1:none>\r\n",
        "m: <sip:far@[::1>;q=x\r\n",
        "Contact: *\r\n",
        "Expires: soon\r\nRetry-After: \r\nMin-SE: x\r\n",
        "Supported: ,,\r\nContent-Type: x\r\nDate: tomorrow\r\n",
        "Record-Route: <sip:127.0.0.1:none;lr>\r\n",
    ],
)
def test_an_answered_call_is_ended_whatever_else_its_answer_says(peer: Peer, odd: str) -> None:
    loop = loop_to(peer, hold=10, keep_wills=True)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=odd, body="v=0\r\n")
    acks = until(loop, peer.take)
    assert acks[0].startswith(b"ACK "), "the loop took it for an answer"
    sent = ended(loop, peer, peer.address)
    assert [message.split()[0] for message in sent] == [b"ACK", b"BYE"]
    assert all(b";tag=far" in message for message in sent)
    loop.close()


def test_what_is_over_is_forgotten_and_its_place_used_again(peer: Peer) -> None:
    loop = loop_to(peer, hold=10, keep_wills=True, calls=3, concurrent=1)
    for _ in range(2):
        (invite,) = until(loop, peer.take)
        peer.respond(invite, "486 Busy Here")
        until(loop, peer.take)
    until(loop, peer.take)
    assert [one.state for one in kept(loop)] == [CALLED]
    loop.close()


@pytest.mark.parametrize("contact", ["far", "<sip:far@127.0.0.1:none>", "*"])
def test_a_call_that_was_taken_is_ended_whatever_its_contact_says(peer: Peer, contact: str) -> None:
    loop = loop_to(None, keep_wills=True)
    peer.source = loop.local
    peer.send(re.sub(r"(?m)^Contact: .*?(?=\r)", f"Contact: {contact}", invite_text(peer.address.port)))
    until(loop, lambda: [m for m in peer.take() if b"SIP/2.0 200" in m])
    assert [message.split()[0] for message in ended(loop, peer, None)] == [b"BYE"]
    loop.close()


def test_what_is_left_at_once_is_kept_for_the_guardian(peer: Peer) -> None:
    loop = loop_to(peer, hold=10, keep_wills=True)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), body="v=0\r\n")
    until(loop, peer.take)
    loop.stop(3)
    assert loop.run(5.0), "it is done"
    assert [message.split()[0] for message in ended(loop, peer, peer.address)] == [b"ACK", b"BYE"]
    loop.close()


def test_what_did_not_end_in_its_time_was_ended_all_the_same(peer: Peer) -> None:
    """BYE was said over and over: there is nothing to be done for the guardian."""
    loop = loop_to(peer, hold=10, keep_wills=True)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), body="v=0\r\n")
    until(loop, peer.take)
    loop.stop(2, 0.2)
    assert loop.run(20.0)
    assert kept(loop) == []
    loop.close()


def test_a_call_that_was_taken_is_ended_at_who_placed_it(peer: Peer) -> None:
    loop = loop_to(None, keep_wills=True)
    peer.source = loop.local
    peer.send(invite_text(peer.address.port))
    answers = until(loop, lambda: [m for m in peer.take() if b"SIP/2.0 200" in m])
    assert [(one.state, one.peer) for one in kept(loop)] == [(TAKEN, peer.address)]
    (bye,) = ended(loop, peer, None)
    assert bye.startswith(b"BYE sip:")
    tag = answers[-1].partition(b"To: ")[2].partition(b"\r\n")[0].rpartition(b";tag=")[2]
    assert b";tag=" + tag in bye.partition(b"From: ")[2].partition(b"\r\n")[0]
    assert bye.partition(b"From: ")[2].partition(b"\r\n")[0].count(b"tag=") == 1
    peer.send(in_dialog("ACK", answers[-1], peer.address.port, 7))
    peer.send(in_dialog("BYE", answers[-1], peer.address.port, 8))
    until(loop, lambda: [m for m in peer.take() if b"BYE" in m])
    assert kept(loop) == []
    loop.close()
