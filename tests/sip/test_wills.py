"""What ends a call though the process that made it is gone: told in time, and enough for another."""

from __future__ import annotations

from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.events import CallAnswered, CallReceived
from callwright.sip.message import Request, Response, parse_datagram
from callwright.sip.will import Will, will_of_messages
from tests.kit.peer import LOCAL, Peer, request
from tests.kit.wire import Sent

KEEPS = EndpointConfig(keep_wills=True)
ANSWER = "Contact: <sip:bob@192.0.2.99:5070>\nRecord-Route: <sip:192.0.2.99:5062;lr>"


class Kept(dict[str, Will]):
    """Wills as a guardian keeps them."""

    def take(self, peer: Peer) -> None:
        for key, will in peer.endpoint.wills():
            if will is None:
                self.pop(key, None)
            else:
                self[key] = will

    def only(self) -> Will:
        (will,) = self.values()
        return will


def calling(peer: Peer, kept: Kept, credentials: Credentials | None = None) -> Sent:
    peer.endpoint.invite(
        "sip:bob@192.0.2.99",
        local=LOCAL,
        hop=peer.hop,
        now=peer.now,
        body=b"offer",
        headers=[("X-Key", "hidden")],
        credentials=credentials,
    )
    kept.take(peer)
    return peer.listen()[0]


def line(sent: Sent) -> str:
    return sent.text.split("\r\n")[0]


def inherited(will: Will) -> tuple[Peer, list[Sent]]:
    heir = Peer()
    heir.endpoint.inherit(will, heir.hop, now=heir.now)
    return heir, heir.listen()


def test_a_will_is_told_before_the_invite_is_taken_to_be_sent() -> None:
    peer, kept = Peer(KEEPS), Kept()
    peer.endpoint.invite("sip:bob@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now, body=b"offer")
    assert [will is not None for _, will in peer.endpoint.wills()] == [True]
    assert peer.listen()[0].text.startswith("INVITE")
    assert not kept


def test_an_answered_call_is_acknowledged_and_ended_along_its_route() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    peer.answer(invite, 200, tag="b", extra=ANSWER)
    peer.one(CallAnswered).call.acknowledge(now=peer.now)
    kept.take(peer)
    heir, (ack, bye) = inherited(kept.only())
    assert line(ack) == "ACK sip:bob@192.0.2.99:5070 SIP/2.0"
    assert ack.header("CSeq") == "1 ACK"
    assert line(bye) == "BYE sip:bob@192.0.2.99:5070 SIP/2.0"
    assert bye.header("Route") == "<sip:192.0.2.99:5062;lr>"
    assert bye.header("To").endswith("tag=b")
    assert bye.header("Call-ID") == invite.header("Call-ID")
    assert bye.header("From") == invite.header("From")
    assert int(bye.header("CSeq").split()[0]) > 1
    heir.answer(bye, 200)
    assert heir.endpoint.pending().calls == 0


def test_the_answer_to_a_challenge_of_the_bye_is_in_the_will_and_not_on_the_disk() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept, Credentials("alice", "secret-of-alice"))
    challenge = 'Proxy-Authenticate: Digest realm="r", nonce="n", algorithm=MD5'
    (_, repeated) = peer.answer(invite, 407, tag="c", extra=challenge)
    kept.take(peer)
    peer.answer(repeated, 200, tag="b", extra=ANSWER)
    peer.one(CallAnswered).call.acknowledge(now=peer.now)
    kept.take(peer)
    will = kept.only()
    heir, (_, bye) = inherited(will)
    (again,) = heir.answer(bye, 407, extra=challenge)
    assert 'username="alice"' in again.header("Proxy-Authorization")
    disk = repr(
        [getattr(will.for_disk(), name) for name in ("invite", "user", "secret", "dialog", "local_tag")]
    )
    for hidden in ("secret-of-alice", "response=", "hidden", "offer"):
        assert hidden not in disk
    assert "secret-of-alice" not in repr(will)
    heir, (_, bye) = inherited(will.for_disk())
    assert line(bye).startswith("BYE ")


def test_an_invite_without_an_answer_is_canceled_at_once_and_its_refusal_acknowledged() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    heir, (cancel,) = inherited(kept.only())
    assert line(cancel) == "CANCEL sip:bob@192.0.2.99 SIP/2.0"
    assert cancel.header("Via") == invite.header("Via")
    assert cancel.header("CSeq") == "1 CANCEL"
    heir.answer(cancel, 200)
    (ack,) = heir.answer(invite, 487, tag="b")
    assert line(ack).startswith("ACK ")
    assert ack.header("Via") == invite.header("Via")
    assert heir.endpoint.pending().calls == 0


def test_nothing_sends_the_invite_of_another_process_again() -> None:
    peer, kept = Peer(KEEPS), Kept()
    calling(peer, kept)
    heir, _ = inherited(kept.only())
    heir.clock.advance(40)
    assert [start for start in heir.starts() if start.startswith("INVITE")] == []
    assert heir.endpoint.pending().calls == 0


def test_a_200_that_comes_after_is_acknowledged_and_ended() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    heir, _ = inherited(kept.only())
    ack, bye = heir.answer(invite, 200, tag="b", extra=ANSWER)
    assert (line(ack), line(bye)) == (
        "ACK sip:bob@192.0.2.99:5070 SIP/2.0",
        "BYE sip:bob@192.0.2.99:5070 SIP/2.0",
    )


def test_a_cancel_that_overtook_its_invite_is_said_again_when_the_peer_rings() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    heir, (cancel,) = inherited(kept.only())
    heir.answer(cancel, 481)
    (again,) = heir.answer(invite, 180, tag="b")
    assert line(again).startswith("CANCEL")


def test_a_call_that_came_in_is_ended_and_one_that_rings_is_refused() -> None:
    for answered in (True, False):
        peer, kept = Peer(KEEPS), Kept()
        peer.send(request("INVITE", body="offer"))
        call = peer.one(CallReceived).call
        call.ring(now=peer.now)
        if answered:
            call.answer(b"answer", now=peer.now)
        kept.take(peer)
        told = peer.listen()
        heir, said = inherited(kept.only())
        if answered:
            (bye,) = said
            assert line(bye) == "BYE sip:peer@192.0.2.99:5060 SIP/2.0"
            assert bye.header("From") == told[-1].header("To")
        else:
            heir.one(CallReceived).call.reject(480, now=heir.now)
            assert line(heir.listen()[-1]) == "SIP/2.0 480 Temporarily Unavailable"


def test_what_is_over_is_kept_no_more() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    assert kept
    peer.answer(invite, 486, tag="b")
    kept.take(peer)
    assert not kept
    second = calling(peer, kept)
    peer.answer(second, 200, tag="b", extra=ANSWER)
    call = peer.one(CallAnswered).call
    call.acknowledge(now=peer.now)
    kept.take(peer)
    call.hangup(now=peer.now)
    bye = peer.listen()[-1]
    kept.take(peer)
    assert kept, "a BYE may be lost"
    peer.answer(bye, 200)
    kept.take(peer)
    assert not kept


def test_an_endpoint_that_nobody_guards_keeps_nothing() -> None:
    peer = Peer()
    calling(peer, Kept())
    assert peer.endpoint.wills() == []


def test_a_will_is_made_of_the_messages_of_a_call() -> None:
    peer, kept = Peer(KEEPS), Kept()
    invite = calling(peer, kept)
    sent = parse_datagram(invite.data)
    head = [f"{name}: {invite.header(name)}" for name in ("Via", "From", "Call-ID")]
    head += ["To: <sip:bob@192.0.2.99>;tag=b", "CSeq: 1 INVITE", "Contact: <sip:bob@192.0.2.99:5070>"]
    came = parse_datagram("\r\n".join(["SIP/2.0 200 OK", *head, "", ""]).encode())
    assert isinstance(sent, Request)
    assert isinstance(came, Response)
    will = will_of_messages(sent, came, peer.hop, outbound=True, credentials=None)
    _, (_, bye) = inherited(will)
    assert line(bye) == "BYE sip:bob@192.0.2.99:5070 SIP/2.0"
    early = will_of_messages(sent, None, peer.hop, outbound=True, credentials=None)
    _, (cancel,) = inherited(early)
    assert line(cancel).startswith("CANCEL")
