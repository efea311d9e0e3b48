"""Whole calls between two endpoints on a perfect or briefly broken wire, in virtual time."""

from __future__ import annotations

import pytest

from callwright.sip.call import CallState, WrongDirection
from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.digest_server import DigestServer, Verdict
from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallConfirmed,
    CallEnded,
    CallFailed,
    CallProgressed,
    CallReceived,
    CallRedirected,
    EndCause,
    Event,
    FailureCause,
    OfferAnswered,
    OfferConfirmed,
    OfferFailed,
    OfferReceived,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    Side,
)
from callwright.sip.transport import Transport
from tests.kit.wire import Wire, impatient, lose, seeded_entropy


def answered(wire: Wire) -> tuple[CallAnswered, CallReceived]:
    """A call up to its 200, not yet acknowledged."""
    wire.alice.invite(body=b"offer")
    wire.settle()
    received = wire.bob.one(CallReceived)
    received.call.ring(now=wire.clock.now)
    received.call.answer(b"answer", now=wire.clock.now)
    wire.settle()
    return wire.alice.one(CallAnswered), received


def confirmed(wire: Wire) -> tuple[CallAnswered, CallReceived]:
    """A call up and running."""
    ours, theirs = answered(wire)
    ours.call.acknowledge(now=wire.clock.now)
    wire.settle()
    wire.bob.one(CallConfirmed)
    return ours, theirs


def test_a_call_rings_is_answered_and_hung_up() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.hangup(now=wire.clock.now, reason="Q.850;cause=16")
    wire.settle()
    assert wire.starts() == [
        "INVITE",
        "100 INVITE",
        "180 INVITE",
        "200 INVITE",
        "ACK",
        "BYE",
        "200 BYE",
    ]
    assert wire.alice.kinds() == ["CallProgressed", "CallProgressed", "CallAnswered", "CallEnded"]
    assert wire.bob.kinds() == ["CallReceived", "CallConfirmed", "CallEnded"]
    assert wire.alice.one(CallEnded).by is Side.LOCAL
    assert wire.bob.one(CallEnded).by is Side.REMOTE
    assert wire.said(wire.alice, "BYE")[0].header("Reason") == "Q.850;cause=16"
    assert ours.response.body == b"answer"
    assert theirs.request.body == b"offer"


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("transport", list(Transport))
def test_a_call_on_every_transport_and_family_ends_from_either_side(transport: Transport, ipv6: bool) -> None:
    wire = Wire(transport=transport, ipv6=ipv6)
    _, theirs = confirmed(wire)
    theirs.call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(CallEnded).cause is EndCause.BYE
    assert wire.alice.endpoint.quiescent
    assert wire.bob.endpoint.quiescent
    assert not wire.alice.endpoint.loss_seen
    wire.clock.advance(40)
    assert sum(wire.alice.endpoint.pending()) == sum(wire.bob.endpoint.pending()) == 0
    assert wire.alice.endpoint.next_wake() is None


def test_nothing_but_the_2xx_is_repeated_on_tcp() -> None:
    wire = Wire(transport=Transport.TCP)
    wire.alice.invite()
    wire.clock.advance(10)
    wire.bob.one(CallReceived).call.answer(now=wire.clock.now)
    wire.clock.advance(5)
    assert wire.starts().count("INVITE") == 1
    assert wire.starts().count("200 INVITE") == 4  # 0, 0.5, 1.5, 3.5


def test_the_timeline_tells_when_everything_happened() -> None:
    wire = Wire()
    call = wire.alice.invite()
    wire.settle()
    theirs = wire.bob.one(CallReceived).call
    for status, pause in ((183, 1.0), (180, 2.0)):
        wire.clock.advance(pause)
        theirs.ring(status, now=wire.clock.now)
        wire.settle()
    wire.clock.advance(3)
    theirs.answer(now=wire.clock.now)
    wire.settle()
    call.acknowledge(now=wire.clock.now)
    wire.clock.advance(4)
    call.hangup(now=wire.clock.now)
    wire.settle()
    start = call.timeline.invited_at
    line = call.timeline
    moments = (
        line.trying_at,
        line.ringing_at,
        line.answered_at,
        line.confirmed_at,
        line.bye_at,
        line.ended_at,
    )
    assert [moment - start for moment in moments if moment is not None] == [0, 1, 6, 6, 10, 10]
    assert [(at - start, status) for at, status in line.provisionals] == [(0, 100), (1, 183), (3, 180)]
    assert line.final_status == 200
    assert not line.loss_seen


def test_provisionals_carry_early_media() -> None:
    wire = Wire()
    wire.alice.invite(body=b"offer")
    wire.settle()
    theirs = wire.bob.one(CallReceived).call
    theirs.ring(183, body=b"early", now=wire.clock.now, headers=[("X-Room", "7")])
    wire.settle()
    progress = wire.alice.all(CallProgressed)[-1]
    assert (progress.status, progress.response.body, progress.response.headers.get("X-Room")) == (
        183,
        b"early",
        "7",
    )
    assert progress.to_tag in progress.call.early_dialogs


def test_a_late_offer_is_answered_in_the_ack() -> None:
    wire = Wire()
    call = wire.alice.invite()
    wire.settle()
    wire.bob.one(CallReceived).call.answer(b"offer", now=wire.clock.now)
    wire.settle()
    call.acknowledge(b"answer", now=wire.clock.now)
    wire.settle()
    assert wire.bob.one(CallConfirmed).request.body == b"answer"


@pytest.mark.parametrize("status", [404, 486, 503, 603])
def test_a_refusal_fails_the_call_with_its_code(status: int) -> None:
    wire = Wire()
    wire.alice.invite()
    wire.settle()
    wire.bob.one(CallReceived).call.reject(status, now=wire.clock.now)
    wire.settle()
    failed = wire.alice.one(CallFailed)
    assert (failed.status, failed.cause) == (status, FailureCause.REJECTED)
    assert wire.starts()[-1] == "ACK"
    assert wire.alice.endpoint.quiescent
    assert wire.bob.endpoint.quiescent


def test_a_redirection_names_its_contacts_by_falling_q() -> None:
    wire = Wire()
    wire.alice.invite()
    wire.settle()
    contacts = "<sip:b@x>;q=0.2, <sip:c@y>;q=0.9, <sip:d@z>"
    wire.bob.one(CallReceived).call.reject(302, now=wire.clock.now, headers=[("Contact", contacts)])
    wire.settle()
    assert [contact.uri.user for contact in wire.alice.one(CallRedirected).contacts] == ["d", "c", "b"]


def test_cancel_waits_for_a_provisional_and_ends_in_487() -> None:
    wire = Wire()
    call = wire.alice.invite()
    assert call.cancel(now=wire.clock.now)
    wire.clock.advance(0.2)
    assert wire.starts(wire.alice) == ["INVITE", "CANCEL", "ACK"]
    canceled = wire.alice.one(CallCanceled)
    assert canceled.by is Side.LOCAL
    assert canceled.response is not None
    assert canceled.response.status == 487
    assert wire.bob.one(CallCanceled).by is Side.REMOTE
    assert not call.cancel(now=wire.clock.now)
    assert wire.alice.endpoint.quiescent


def test_a_cancel_that_is_never_answered_gives_up_after_32_seconds() -> None:
    wire = Wire()
    call = wire.alice.invite()
    wire.settle()
    call.cancel(now=wire.clock.now)
    wire.fate = lambda sent: ()
    wire.clock.advance(33)
    assert wire.alice.one(CallCanceled).response is None
    assert call.over


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() -> None:
    wire = Wire()
    call = wire.alice.invite()
    wire.settle()
    wire.bob.one(CallReceived).call.answer(b"x", now=wire.clock.now)
    call.cancel(now=wire.clock.now)
    crossing = wire.collect(wire.alice)
    wire.transfer(wire.bob)
    for sent in crossing:
        wire.deliver(sent)
    wire.settle()
    assert wire.starts(wire.alice) == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert wire.said(wire.bob, "200 CANCEL")
    assert wire.alice.one(CallEnded).cause is EndCause.ABANDONED
    assert wire.bob.one(CallEnded).by is Side.REMOTE
    wire.clock.advance(40)
    assert sum(wire.bob.endpoint.pending()) == 0


def test_a_call_that_nobody_answers_is_canceled_at_the_ring_limit() -> None:
    wire = Wire(alice=impatient(ring_limit=30.0))
    wire.alice.invite()
    wire.clock.advance(31)
    assert wire.alice.one(CallCanceled).by is Side.LOCAL


def test_a_call_that_the_callee_forgets_is_answered_480_at_the_answer_limit() -> None:
    wire = Wire(bob=impatient(answer_limit=20.0))
    wire.alice.invite()
    wire.clock.advance(21)
    assert wire.alice.one(CallFailed).status == 480
    assert wire.bob.one(CallFailed).cause is FailureCause.TIMED_OUT


def test_an_invite_into_the_void_times_out_after_32_seconds_and_names_the_host() -> None:
    wire = Wire(fate=lambda sent: ())
    wire.alice.invite()
    wire.clock.advance(33)
    failed = wire.alice.one(CallFailed)
    assert (failed.status, failed.cause) == (None, FailureCause.TIMED_OUT)
    assert "192.0.2.2:5060" in failed.reason
    assert "32 s" in failed.reason
    assert failed.call.timeline.retransmissions_sent == 6


def test_a_closed_port_is_told_at_once() -> None:
    wire = Wire()
    wire.alice.invite()
    wire.drop(wire.alice)
    wire.alice.endpoint.transport_failed(wire.alice.hop(), "connection refused", wire.clock.now)
    failed = wire.alice.one(CallFailed)
    assert failed.cause is FailureCause.TRANSPORT
    assert failed.reason == "UDP to 192.0.2.2:5060: connection refused"
    assert wire.alice.endpoint.quiescent


def test_an_answer_never_acknowledged_is_repeated_for_32_seconds_then_hung_up() -> None:
    wire = Wire()
    _, theirs = answered(wire)
    wire.fate = lambda sent: () if sent.start == "ACK" else (0.0,)
    start = wire.clock.now
    wire.clock.advance(31.9)
    repeats = [round(sent.at - start, 3) for sent in wire.said(wire.bob, "200 INVITE")]
    assert repeats == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    wire.clock.advance(0.2)
    assert wire.bob.one(CallEnded).cause is EndCause.ACK_MISSING
    assert wire.said(wire.bob, "BYE")
    assert theirs.call.over


def test_a_repeated_answer_is_acknowledged_again_with_the_same_ack() -> None:
    wire = Wire()
    ours, _ = answered(wire)
    ours.call.acknowledge(now=wire.clock.now)
    wire.drop(wire.alice)
    wire.clock.advance(0.6)
    first, second = wire.said(wire.alice, "ACK")
    assert first.data == second.data
    assert wire.bob.one(CallConfirmed)
    assert ours.call.timeline.retransmissions_received == 1


def test_an_answer_that_our_user_never_acknowledges_is_acknowledged_and_hung_up() -> None:
    wire = Wire()
    ours, _ = answered(wire)
    wire.clock.advance(32.1)
    assert wire.alice.one(CallEnded).cause is EndCause.ACK_MISSING
    assert ours.call.over


def test_hanging_up_an_unacknowledged_inbound_call_waits_for_the_ack() -> None:
    wire = Wire()
    ours, theirs = answered(wire)
    assert theirs.call.hangup(now=wire.clock.now)
    assert not wire.collect(wire.bob)
    ours.call.acknowledge(now=wire.clock.now)
    wire.settle()
    assert wire.said(wire.bob, "BYE")
    assert wire.alice.one(CallEnded).by is Side.REMOTE


def test_hanging_up_early_cancels_or_refuses() -> None:
    wire = Wire()
    call = wire.alice.invite()
    wire.settle()
    call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(CallCanceled)
    wire = Wire()
    wire.alice.invite()
    wire.settle()
    wire.bob.one(CallReceived).call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(CallFailed).status == 480


def test_two_byes_that_cross_are_both_answered() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.hangup(now=wire.clock.now)
    theirs.call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(CallEnded).by is Side.LOCAL
    assert wire.bob.one(CallEnded).by is Side.LOCAL
    assert wire.alice.endpoint.quiescent


def test_a_bye_that_is_never_answered_ends_the_call_all_the_same() -> None:
    wire = Wire()
    ours, _ = confirmed(wire)
    wire.fate = lambda sent: ()
    ours.call.hangup(now=wire.clock.now)
    wire.clock.advance(33)
    assert wire.alice.one(CallEnded).cause is EndCause.BYE_UNANSWERED


def test_verbs_on_a_call_that_is_over_do_nothing_and_say_so() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.hangup(now=wire.clock.now)
    wire.settle()
    now = wire.clock.now
    for call in (ours.call, theirs.call):
        assert not call.hangup(now=now)
        assert not call.reinvite(b"x", now=now)
        assert call.send("INFO", now=now) is None
    assert not theirs.call.answer(now=now)
    assert not theirs.call.reject(now=now)
    with pytest.raises(WrongDirection):
        ours.call.answer(now=now)


# -- re-INVITE


@pytest.mark.parametrize("offerer", ["alice", "bob"])
def test_either_side_offers_anew_and_is_answered(offerer: str) -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    first, second = (wire.alice, wire.bob) if offerer == "alice" else (wire.bob, wire.alice)
    calls = {"alice": ours.call, "bob": theirs.call}
    assert calls[first.name].reinvite(b"hold", now=wire.clock.now)
    assert not calls[first.name].reinvite(b"hold", now=wire.clock.now)
    wire.settle()
    assert second.one(OfferReceived).request.body == b"hold"
    calls[second.name].accept_offer(b"held", now=wire.clock.now)
    wire.settle()
    assert first.one(OfferAnswered).response.body == b"held"
    assert second.one(OfferConfirmed)
    calls[second.name].reinvite(b"resume", now=wire.clock.now)
    wire.settle()
    calls[first.name].refuse_offer(488, now=wire.clock.now)
    wire.settle()
    assert second.one(OfferFailed).status == 488
    assert calls["alice"].state is CallState.CONFIRMED
    ours.call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.bob.one(CallEnded)


def test_a_reinvite_without_an_offer_is_answered_in_its_ack() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.reinvite(b"", now=wire.clock.now)
    wire.settle()
    theirs.call.accept_offer(b"offer", now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(OfferAnswered).response.body == b"offer"
    assert ours.call.acknowledge(b"answer", now=wire.clock.now)
    wire.settle()
    assert wire.bob.one(OfferConfirmed).request.body == b"answer"


def test_offers_that_cross_are_both_refused_with_491_and_retried_apart() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.reinvite(b"a", now=wire.clock.now)
    theirs.call.reinvite(b"b", now=wire.clock.now)
    wire.settle()
    mine, other = wire.alice.one(OfferFailed), wire.bob.one(OfferFailed)
    assert (mine.status, other.status) == (491, 491)
    assert mine.retry_after is not None
    assert other.retry_after is not None
    assert 2.1 <= mine.retry_after <= 4.0  # the owner of the Call-ID waits longer
    assert 0.0 <= other.retry_after <= 2.0
    wire.clock.advance(other.retry_after)
    assert theirs.call.reinvite(b"b", now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(OfferReceived)


def test_a_second_offer_before_the_first_is_answered_is_told_to_come_later() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.reinvite(b"a", now=wire.clock.now)
    invite = wire.transfer(wire.alice)[0]
    text = invite.data.replace(b"CSeq: 2", b"CSeq: 3").replace(b"branch=z9hG4bK", b"branch=z9hG4bKother")
    wire.bob.endpoint.receive(text, theirs.call.hop, wire.clock.now)
    refusal = wire.collect(wire.bob)[-1]
    assert refusal.start == "500 INVITE"
    assert 0 <= int(refusal.header("Retry-After")) <= 10


def test_an_offer_that_our_user_never_answers_is_refused_500() -> None:
    wire = Wire()
    ours, _ = confirmed(wire)
    ours.call.reinvite(b"a", now=wire.clock.now)
    wire.clock.advance(33)
    assert wire.alice.one(OfferFailed).status == 500


def test_an_accepted_offer_never_acknowledged_ends_the_call() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.reinvite(b"a", now=wire.clock.now)
    wire.settle()
    theirs.call.accept_offer(b"b", now=wire.clock.now)
    wire.fate = lambda sent: () if sent.start == "ACK" else (0.0,)
    wire.clock.advance(33)
    assert wire.bob.one(CallEnded).cause is EndCause.ACK_MISSING


def test_hanging_up_with_an_offer_pending_answers_it_487() -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    ours.call.reinvite(b"a", now=wire.clock.now)
    wire.settle()
    theirs.call.hangup(now=wire.clock.now)
    wire.settle()
    assert wire.said(wire.bob, "487 INVITE")
    assert wire.alice.one(CallEnded)
    wire.clock.advance(40)
    assert sum(wire.alice.endpoint.pending()) == sum(wire.bob.endpoint.pending()) == 0


# -- other requests within a call


@pytest.mark.parametrize("method", ["INFO", "MESSAGE"])
def test_requests_within_a_call_reach_the_other_user(method: str) -> None:
    wire = Wire()
    ours, theirs = confirmed(wire)
    handle = ours.call.send(method, b"Signal=5", content_type="application/dtmf-relay", now=wire.clock.now)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    assert received.call is theirs.call
    wire.bob.endpoint.respond(received.transaction, 200, now=wire.clock.now)
    wire.settle()
    response = wire.alice.one(ResponseReceived)
    assert response.handle is handle
    assert response.call is ours.call


def test_options_within_a_call_are_answered_by_the_endpoint() -> None:
    wire = Wire()
    _, theirs = confirmed(wire)
    theirs.call.send("OPTIONS", now=wire.clock.now)
    wire.settle()
    assert wire.bob.one(ResponseReceived).response.status == 200


def test_an_unanswered_request_within_a_call_does_not_end_it() -> None:
    wire = Wire()
    ours, _ = confirmed(wire)
    ours.call.send("INFO", now=wire.clock.now)
    wire.clock.advance(33)
    assert wire.alice.one(RequestTimedOut).call is ours.call
    assert not ours.call.over


def test_481_within_a_call_ends_it() -> None:
    wire = Wire()
    ours, _ = confirmed(wire)
    wire.bob.endpoint = type(wire.bob.endpoint)(EndpointConfig(), seeded_entropy(9))  # bob restarts
    ours.call.send("INFO", now=wire.clock.now)
    wire.settle()
    ended = wire.alice.one(CallEnded)
    assert ended.cause is EndCause.DIALOG_GONE
    assert "481" in ended.reason


# -- digest


def guarded(wire: Wire, password: str, *, proxy: bool = False) -> None:
    """Bob asks every caller and every BYE, as a strict PBX does, who it is."""
    server = DigestServer("test", seeded_entropy(5))

    def react(event: Event) -> None:
        if isinstance(event, CallReceived):
            judgement = wire.bob.endpoint.verify(
                event.call,
                server,
                lambda user: password if user == "alice" else None,
                now=wire.clock.now,
                proxy=proxy,
            )
            if judgement.verdict is Verdict.ACCEPTED:
                event.call.answer(b"answer", now=wire.clock.now)
            else:
                wire.bob.endpoint.challenge(event.call, server, now=wire.clock.now, proxy=proxy)

    wire.bob.react = react


@pytest.mark.parametrize("proxy", [False, True])
def test_a_challenged_invite_is_sent_again_with_credentials(proxy: bool) -> None:
    wire = Wire()
    guarded(wire, "secret", proxy=proxy)
    call = wire.alice.invite(credentials=Credentials("alice", "secret"))
    wire.settle()
    assert wire.alice.one(CallAnswered).call is call
    assert [sent.header("CSeq") for sent in wire.said(wire.alice, "INVITE")] == ["1 INVITE", "2 INVITE"]
    call.acknowledge(now=wire.clock.now)
    wire.settle()
    name = "Proxy-Authorization" if proxy else "Authorization"
    acks = wire.said(wire.alice, "ACK")
    assert acks[-1].header(name) == wire.said(wire.alice, "INVITE")[-1].header(name) != ""
    assert acks[-1].header("CSeq") == "2 ACK"
    call.hangup(now=wire.clock.now)
    wire.settle()
    assert "nc=00000002" in wire.said(wire.alice, "BYE")[0].header(name)
    assert call.timeline.authorized_at is not None
    assert wire.alice.one(CallEnded)


@pytest.mark.parametrize("password", ["wrong", None])
def test_wrong_or_no_credentials_fail_with_the_code(password: str | None) -> None:
    wire = Wire()
    guarded(wire, "secret")
    wire.alice.invite(credentials=Credentials("alice", password) if password else None)
    wire.settle()
    failed = wire.alice.one(CallFailed)
    assert (failed.status, failed.cause) == (401, FailureCause.UNAUTHORIZED)
    assert len(wire.said(wire.alice, "INVITE")) == (2 if password else 1)
    assert not list(wire.bob.endpoint.calls)


def test_a_call_survives_the_loss_of_the_first_message_of_each_kind() -> None:
    wire = Wire(fate=lose([0, 2, 4]))
    call = wire.alice.invite()
    wire.clock.advance(3)
    wire.bob.one(CallReceived).call.answer(now=wire.clock.now)
    wire.clock.advance(3)
    call.acknowledge(now=wire.clock.now)
    wire.clock.advance(5)
    assert wire.bob.one(CallConfirmed)
    assert wire.alice.endpoint.loss_seen
