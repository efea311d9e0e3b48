"""Calls through the B2BUA in virtual time: two phones and more, a perfect wire."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callwright.pbx.b2bua import B2buaConfig
from callwright.pbx.path import DirectPath, DirectPaths, LegSide, MediaPath
from callwright.pbx.plan import PbxPlan
from callwright.pbx.record import AccessDenied, Relayed
from callwright.pbx.routing import Strategy
from callwright.sdp.description import SessionDescription
from callwright.sdp.relocation import relocate
from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
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
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    RequestReceived,
    ResponseReceived,
    Side,
)
from callwright.sip.fields import MediaType
from callwright.sip.transport import Hop, Transport
from callwright.sip.uri import NameAddr
from tests.simulation.exchange import ANSWER, DOMAIN, OFFER, PBX, Exchange, PhoneAt, account, description


def up(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> tuple[CallAnswered, CallReceived]:
    """A call that both have confirmed."""
    alice.call("1002")
    exchange.pass_time(0)
    theirs = bob.one(CallReceived)
    theirs.call.ring(now=exchange.clock.now)
    theirs.call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    ours = alice.one(CallAnswered)
    ours.call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(CallConfirmed)
    return ours, theirs


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def alice(exchange: Exchange) -> PhoneAt:
    return exchange.phone("1001")


@pytest.fixture
def bob(exchange: Exchange) -> PhoneAt:
    return exchange.registered("1002")


def test_a_call_rings_is_answered_and_ends(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    ours, theirs = up(exchange, alice, bob)
    assert [event.status for event in alice.all(CallProgressed)] == [100, 100, 180]
    assert theirs.request.body == OFFER, "media is direct: the description is as it was, o= included"
    assert ours.response.body == ANSWER
    exchange.pass_time(3)
    ours.call.hangup(now=exchange.clock.now, reason='Q.850;cause=16;text="enough"')
    exchange.pass_time(0)
    ended = bob.one(CallEnded)
    assert (ended.by, ended.cause) == (Side.REMOTE, EndCause.BYE)
    assert ended.request is not None
    assert ended.request.headers.get("Reason") == 'Q.850;cause=16;text="enough"'
    record = exchange.record
    assert (record.caller, record.callee, record.status, record.ended_by) == ("1001", "1002", 200, "caller")
    assert record.talked == 3
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_the_callee_sees_who_calls_and_nothing_of_the_other_leg(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    alice.call(
        "1002",
        local=NameAddr.parse('"Somebody Else" <sip:5555@elsewhere.test>'),
        headers=[
            ("X-Test-Id", 'a;b="c"'),
            ("Subject", "a test"),
            ("P-Asserted-Identity", "<sip:president@example.com>"),
            ("Record-Route", "<sip:evil.test;lr>"),
            ("Alert-Info", "not a uri"),
            ("Unheard-Of", "x"),
        ],
    )
    exchange.pass_time(0)
    headers = bob.one(CallReceived).request.headers
    assert headers.get("P-Asserted-Identity") == '"Name 1001" <sip:1001@pbx.test>'
    assert headers.from_.display_name == "Somebody Else"
    assert str(headers.from_.uri) == "sip:1001@pbx.test"
    assert (headers.get("X-Test-Id"), headers.get("Subject")) == ('a;b="c"', "a test")
    assert headers.max_forwards == 69
    assert len(headers.get_all("via")) == 1
    for absent in ("Record-Route", "Alert-Info", "Unheard-Of", "Proxy-Authorization"):
        assert absent not in headers
    assert headers.contact[0].uri.host == PBX.host
    assert headers.call_id != exchange.said(alice, "INVITE")[0].header("Call-ID")


def test_who_asks_for_privacy_has_no_asserted_identity(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    anonymous = NameAddr.parse('"Anonymous" <sip:anonymous@anonymous.invalid>')
    alice.call("1002", local=anonymous, headers=[("Privacy", "id")])
    exchange.pass_time(0)
    headers = bob.one(CallReceived).request.headers
    assert "P-Asserted-Identity" not in headers
    assert str(headers.from_.uri) == "sip:anonymous@anonymous.invalid"
    assert headers.get("Privacy") == "id"


def test_early_media_and_its_headers_are_passed_on(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    call = bob.one(CallReceived).call
    call.ring(183, now=exchange.clock.now, body=ANSWER, headers=[("X-Room", "7")])
    exchange.pass_time(0)
    progress = alice.all(CallProgressed)[-1]
    assert (progress.status, progress.response.body) == (183, ANSWER)
    assert progress.response.headers.get("X-Room") == "7"


def test_a_late_offer_comes_from_the_callee_and_its_answer_in_the_ack(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    alice.call("1002", b"")
    exchange.pass_time(0)
    received = bob.one(CallReceived)
    assert received.request.body == b""
    received.call.answer(OFFER, now=exchange.clock.now)
    exchange.pass_time(0)
    answered = alice.one(CallAnswered)
    assert answered.response.body == OFFER
    assert not exchange.said(None, "ACK"), "the callee's ACK waits for the answer"
    answered.call.acknowledge(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    assert bob.one(CallConfirmed).request.body == ANSWER


@pytest.mark.parametrize("status", [400, 404, 480, 484, 486, 488, 500, 503, 600, 603, 606, 699])
def test_a_refusal_reaches_the_caller_as_it_was(status: int) -> None:
    exchange = Exchange()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002")
    exchange.pass_time(0)
    headers = [("Retry-After", "12"), ("Warning", '399 bob "no"'), ("X-Why", "tired")]
    bob.one(CallReceived).call.reject(status, now=exchange.clock.now, reason="Not Today", headers=headers)
    exchange.pass_time(0)
    failed = alice.one(CallFailed)
    assert (failed.status, failed.reason) == (status, "Not Today")
    assert failed.response is not None
    assert [failed.response.headers.get(name) for name, _ in headers] == [value for _, value in headers]
    assert exchange.record.status == status
    exchange.pass_time(40)
    exchange.assert_quiet()


REPORT = b"--d\r\nContent-Type: text/plain\r\n\r\nno\r\n--d\r\n\r\n\x00\xff\r\n--d--\r\n"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (488, description(40_002), "application/sdp"),
        (606, REPORT, "multipart/mixed;boundary=d"),
        (403, b"\x00\xff", None),
        (302, b"<html/>", "text/html"),
    ],
)
def test_the_body_of_a_refusal_goes_on_octet_for_octet(status: int, body: bytes, kind: str | None) -> None:
    exchange = Exchange()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.reject(status, now=exchange.clock.now, body=body, content_type=kind)
    exchange.pass_time(0)
    response = (alice.one(CallRedirected) if status < 400 else alice.one(CallFailed)).response
    assert response is not None
    assert (response.status, response.body) == (status, body)
    assert response.headers.get("Content-Type") == kind


def test_the_body_of_a_refused_offer_goes_on(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    ours, theirs = up(exchange, alice, bob)
    ours.call.reinvite(description(40_002), now=exchange.clock.now)
    exchange.pass_time(0)
    theirs.call.refuse_offer(488, now=exchange.clock.now, body=b"why", content_type="text/plain")
    exchange.pass_time(0)
    refused = alice.one(OfferFailed).response
    assert refused is not None
    assert (refused.status, refused.body) == (488, b"why")


def test_a_redirection_is_passed_on_with_its_contacts(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    contact = [("Contact", "<sip:1003@pbx.test>;q=0.5")]
    bob.one(CallReceived).call.reject(302, now=exchange.clock.now, headers=contact)
    exchange.pass_time(0)
    redirected = alice.one(CallRedirected)
    assert (redirected.status, str(redirected.contacts[0].uri)) == (302, "sip:1003@pbx.test")


def test_the_caller_gives_up(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    call = alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(2)
    call.cancel(now=exchange.clock.now, headers=[("Reason", 'SIP;cause=487;text="changed my mind"')])
    exchange.pass_time(0)
    canceled = bob.one(CallCanceled)
    assert canceled.request is not None
    assert canceled.request.headers.get("Reason") == 'SIP;cause=487;text="changed my mind"'
    assert alice.one(CallCanceled).by is Side.LOCAL
    assert (exchange.record.status, exchange.record.ended_by) == (487, "caller")
    exchange.pass_time(40)
    exchange.assert_quiet()


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_hold_and_resume_go_through_from_either_side(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt, side: str
) -> None:
    ours, theirs = up(exchange, alice, bob)
    holder, held = (ours.call, bob) if side == "caller" else (theirs.call, alice)
    for direction, answer in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
        offer = description(40_000, direction=direction)
        assert holder.reinvite(offer, now=exchange.clock.now, headers=[("X-Hold", "1")])
        exchange.pass_time(0)
        offered = held.all(OfferReceived)[-1]
        assert offered.request.body == offer
        assert offered.request.headers.get("X-Hold") == "1"
        accepted = description(50_000, direction=answer)
        offered.call.accept_offer(accepted, now=exchange.clock.now)
        exchange.pass_time(0)
        holding = alice if side == "caller" else bob
        assert holding.all(OfferAnswered)[-1].response.body == accepted
    ours.call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_a_refused_offer_leaves_the_call_as_it_was(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    ours, _ = up(exchange, alice, bob)
    ours.call.reinvite(description(40_002), now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(OfferReceived).call.refuse_offer(488, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(OfferFailed).status == 488
    assert ours.call.confirmed


def test_offers_of_both_at_once_are_a_glare_and_the_later_one_passes(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, theirs = up(exchange, alice, bob)
    ours.call.reinvite(description(40_002), now=exchange.clock.now)
    theirs.call.reinvite(description(50_002), now=exchange.clock.now)
    exchange.pass_time(0)
    failures = [*alice.all(OfferFailed), *bob.all(OfferFailed)]
    assert failures
    assert {failure.status for failure in failures} == {491}
    for failure in failures:
        assert failure.retry_after is not None
    exchange.pass_time(5)
    assert ours.call.reinvite(description(40_004), now=exchange.clock.now)
    exchange.pass_time(0)
    bob.all(OfferReceived)[-1].call.accept_offer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(OfferAnswered)


def test_a_reinvite_without_an_offer_asks_the_other_side_for_one(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, _ = up(exchange, alice, bob)
    ours.call.reinvite(b"", now=exchange.clock.now)
    exchange.pass_time(0)
    offered = bob.one(OfferReceived)
    assert offered.request.body == b""
    offered.call.accept_offer(description(50_002), now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(OfferAnswered).response.body == description(50_002)
    ours.call.acknowledge(description(40_002), now=exchange.clock.now)
    exchange.pass_time(0)
    assert exchange.said(None, "ACK", bob)[-1].body.encode() == description(40_002)


@pytest.mark.parametrize("status", [202, 415])
@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "OPTIONS"])
@pytest.mark.parametrize("side", ["caller", "callee"])
def test_requests_within_a_call_are_passed_on_with_their_answers(method: str, side: str, status: int) -> None:
    exchange = Exchange()
    alice = exchange.phone("1001", config=EndpointConfig(answer_options=False))
    bob = exchange.registered("1002", config=EndpointConfig(answer_options=False))
    ours, theirs = up(exchange, alice, bob)
    call, asker, asked = (ours.call, alice, bob) if side == "caller" else (theirs.call, bob, alice)
    call.send(
        method,
        b"Signal=5",
        now=exchange.clock.now,
        content_type="application/dtmf-relay",
        headers=[("X-A", "b")],
    )
    exchange.pass_time(0)
    received = asked.one(RequestReceived)
    assert (received.request.method, received.request.body) == (method, b"Signal=5")
    assert received.request.headers.get("Content-Type") == "application/dtmf-relay"
    assert received.request.headers.get("X-A") == "b"
    asked.endpoint.respond(
        received.transaction, status, now=exchange.clock.now, headers=[("X-Seen", "yes")], body=b"\x00so"
    )
    exchange.pass_time(0)
    response = asker.one(ResponseReceived).response
    assert (response.status, response.headers.get("X-Seen"), response.body) == (status, "yes", b"\x00so")


def test_a_message_goes_to_every_contact_and_the_first_success_answers(exchange: Exchange) -> None:
    alice = exchange.phone("1001")
    bobs = [exchange.registered("1002"), exchange.registered("1002")]
    alice.endpoint.request(
        "MESSAGE",
        f"sip:1002@{DOMAIN}",
        local=alice.identity,
        hop=alice.hop,
        now=exchange.clock.now,
        body=b"hello",
        content_type="text/plain",
        credentials=alice.credentials,
    )
    exchange.pass_time(0)
    for bob, status in zip(bobs, (486, 200), strict=True):
        received = bob.one(RequestReceived)
        assert received.request.body == b"hello"
        assert received.request.headers.get("P-Asserted-Identity") == '"Name 1001" <sip:1001@pbx.test>'
        bob.endpoint.respond(received.transaction, status, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(ResponseReceived).response.status == 200


def test_options_to_the_pbx_need_no_password_and_to_an_account_are_passed_on(exchange: Exchange) -> None:
    alice, _ = exchange.phone("1001"), exchange.registered("1002")
    now, proven = exchange.clock.now, alice.credentials
    for target, credentials in ((f"sip:{DOMAIN}", None), (f"sip:1002@{DOMAIN}", proven)):
        alice.endpoint.request(
            "OPTIONS", target, local=alice.identity, hop=alice.hop, now=now, credentials=credentials
        )
    exchange.pass_time(0)
    assert [event.response.status for event in alice.all(ResponseReceived)] == [200, 200]
    assert len(exchange.said(None, "OPTIONS")) == 1


# -- who may not


def test_a_wrong_password_is_challenged_again_and_told(exchange: Exchange, bob: PhoneAt) -> None:
    mallory = exchange.phone("1001")
    exchange.pbx.events()
    mallory.call("1002", credentials=Credentials("1001", "guess"))
    exchange.pass_time(0)
    assert mallory.one(CallFailed).status == 407
    assert not bob.all(CallReceived)
    denied = [event for event in exchange.pbx.events() if isinstance(event, AccessDenied)]
    assert [(event.method, event.username) for event in denied] == [("INVITE", "1001")]
    assert exchange.pbx.calls == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"sip:9999@{DOMAIN}", 404),
        ("sip:1002@elsewhere.test", 403),
        (f"sip:1003@{DOMAIN}", 480),
        (f"sip:{DOMAIN}", 404),
        ("tel:1003", 480),
    ],
)
def test_who_cannot_be_called_is_told_by_a_status(target: str, status: int) -> None:
    exchange = Exchange()
    alice = exchange.phone("1001")
    alice.endpoint.invite(
        target,
        local=alice.identity,
        hop=alice.hop,
        now=exchange.clock.now,
        body=OFFER,
        credentials=alice.credentials,
    )
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == status
    assert exchange.record.ended_by == "pbx"


def test_a_call_without_hops_left_is_483(exchange: Exchange, alice: PhoneAt, bob: PhoneAt) -> None:
    alice.call("1002", headers=[("Max-Forwards", "0")])
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 483


def test_a_contact_that_is_the_pbx_itself_is_a_loop(exchange: Exchange, alice: PhoneAt) -> None:
    exchange.pbx.know_own(lambda hop: hop.remote == PBX)
    bob = exchange.phone("1002")
    registration = bob.register(contact=NameAddr.parse("<sip:1002@192.0.2.10:5060>").uri)
    assert registration is not None
    exchange.pass_time(0)
    exchange.pbx.know_own(lambda hop: True)
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 482


def test_beyond_the_cap_calls_are_503(exchange: Exchange) -> None:
    exchange = Exchange(config=B2buaConfig(max_calls=1))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    up(exchange, alice, bob)
    carol = exchange.phone("1003")
    carol.call("1002")
    exchange.pass_time(0)
    failed = carol.one(CallFailed)
    assert failed.status == 503
    assert failed.response is not None
    assert failed.response.headers.get("Retry-After") == "10"


@pytest.mark.parametrize(
    "line",
    [
        "m=video 0 RTP/AVP 255",
        "m=video 0 RTP/AVP",
        "m=application 9 TCP/MRCPv2",
        "m=whatever 1 x/y/z *",
        "a=",
        "a=rtpmap:96",
        "not a line at all",
        "k=\x00",
    ],
)
def test_odd_lines_pass_octet_for_octet_in_offer_and_answer(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt, line: str
) -> None:
    offer, answer = OFFER + f"{line}\r\n".encode(), ANSWER + f"{line}\r\n".encode()
    alice.call("1002", offer)
    exchange.pass_time(0)
    received = bob.one(CallReceived)
    assert received.request.body == offer
    received.call.answer(answer, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(CallAnswered).response.body == answer


def multipart(sdp: bytes) -> bytes:
    isup = (
        b"Content-Type: application/isup\r\nContent-Disposition: signal;handling=required\r\n\r\n\x09\x00\x01"
    )
    return b"--d\r\n%b\r\n--d\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--d--\r\n" % (isup, sdp)


class _Moving(DirectPath):
    """Changes descriptions as a relay does, and reads nothing but descriptions."""

    def carry(self, body: bytes, speaker: object, *, speaker_host: str, listener_local: str) -> bytes:
        moved = relocate(SessionDescription.parse(body), "192.0.2.77", [7_000])
        return moved.serialize()


class _MovingPaths:
    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        return _Moving()


@pytest.mark.parametrize("relayed", [False, True])
def test_what_stands_beside_a_description_passes_from_end_to_end(relayed: bool) -> None:
    exchange = Exchange(paths=_MovingPaths() if relayed else None)
    alice = exchange.phone("1001")
    bob = exchange.registered("1002", config=EndpointConfig(accept=("*",)))
    kind = 'multipart/mixed;boundary="d"'

    def expected(sdp: bytes) -> bytes:
        moved = relocate(SessionDescription.parse(sdp), "192.0.2.77", [7_000]).serialize()
        return multipart(moved if relayed else sdp)

    alice.call("1002", multipart(OFFER), content_type=kind, headers=[("MIME-Version", "1.0")])
    exchange.pass_time(0)
    received = bob.one(CallReceived)
    assert received.request.body == expected(OFFER)
    assert received.request.headers.get("MIME-Version") == "1.0"
    assert MediaType.parse(received.request.headers.get("Content-Type") or "").parameter("boundary") == "d"
    received.call.answer(multipart(ANSWER), now=exchange.clock.now, content_type=kind)
    exchange.pass_time(0)
    answered = alice.one(CallAnswered)
    assert answered.response.body == expected(ANSWER)
    answered.call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    held = description(40_000, direction="sendonly")
    answered.call.reinvite(multipart(held), now=exchange.clock.now, content_type=kind)
    exchange.pass_time(0)
    assert bob.one(OfferReceived).request.body == expected(held)


def test_a_body_without_any_description_passes_and_leaves_the_offer_to_the_callee(
    exchange: Exchange, alice: PhoneAt
) -> None:
    bob = exchange.registered("1002", config=EndpointConfig(accept=("*",)))
    alice.call("1002", b"\x09\x00\x01", content_type="application/isup")
    exchange.pass_time(0)
    received = bob.one(CallReceived)
    assert (received.request.body, received.request.headers.get("Content-Type")) == (
        b"\x09\x00\x01",
        "application/isup",
    )
    received.call.answer(OFFER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    assert bob.one(CallConfirmed).request.body == ANSWER


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_hold_by_update_goes_through_as_a_new_offer(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt, side: str
) -> None:
    ours, theirs = up(exchange, alice, bob)
    holder, held = (ours.call, bob) if side == "caller" else (theirs.call, alice)
    offer = description(40_000, direction="inactive")
    assert holder.send("UPDATE", offer, now=exchange.clock.now, content_type="application/sdp")
    exchange.pass_time(0)
    offered = held.one(OfferReceived)
    assert offered.request.body == offer
    offered.call.accept_offer(description(50_000, direction="inactive"), now=exchange.clock.now)
    exchange.pass_time(0)
    response = (alice if side == "caller" else bob).one(ResponseReceived).response
    assert (response.status, response.body) == (200, description(50_000, direction="inactive"))
    exchange.pass_time(40)
    ours.call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_a_description_that_a_relay_cannot_read_is_488() -> None:
    exchange = Exchange(paths=_MovingPaths())
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002", b"no description at all")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 488
    assert not bob.all(CallReceived)
    exchange.pass_time(40)
    exchange.assert_quiet()


# -- forks


@pytest.fixture
def fork(exchange: Exchange) -> list[PhoneAt]:
    return [exchange.registered("1002"), exchange.registered("1002"), exchange.registered("1002")]


def test_every_contact_rings_and_the_first_answer_wins(
    exchange: Exchange, alice: PhoneAt, fork: list[PhoneAt]
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    for phone in fork:
        phone.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(1)
    fork[1].one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    for loser in (fork[0], fork[2]):
        canceled = loser.one(CallCanceled)
        assert canceled.request is not None
        assert canceled.request.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    fork[1].one(CallConfirmed)
    assert [branch.status for branch in exchange.record.branches] == [487, 200, 487]
    fork[1].one(CallReceived).call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert alice.one(CallEnded).by is Side.REMOTE
    exchange.assert_quiet()


def test_two_answers_at_once_leave_one_call(exchange: Exchange, alice: PhoneAt, fork: list[PhoneAt]) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    for phone in fork:
        phone.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(1)
    assert sum(bool(phone.all(CallEnded)) for phone in fork) == 2
    assert len([phone for phone in fork if list(phone.endpoint.calls)]) == 1
    alice.one(CallAnswered).call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [((486, 480, 404), 486), ((486, 503, 500), 486), ((302, 486, 500), 302), ((486, 603, None), 603)],
)
def test_the_best_refusal_is_passed_on(
    statuses: tuple[int | None, ...], expected: int, exchange: Exchange, alice: PhoneAt, fork: list[PhoneAt]
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    for phone, status in zip(fork, statuses, strict=True):
        if status is not None:
            phone.one(CallReceived).call.reject(status, now=exchange.clock.now)
    exchange.pass_time(0)
    assert exchange.record.status == expected
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_early_media_of_forks_is_kept_back_until_one_is_left(
    exchange: Exchange, alice: PhoneAt, fork: list[PhoneAt]
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    calls = [phone.one(CallReceived).call for phone in fork]
    calls[0].ring(183, now=exchange.clock.now, body=ANSWER)
    exchange.pass_time(0)
    assert alice.all(CallProgressed)[-1].response.body == b""
    calls[1].reject(486, now=exchange.clock.now)
    calls[2].reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    calls[0].ring(183, now=exchange.clock.now, body=ANSWER)
    exchange.pass_time(0)
    assert alice.all(CallProgressed)[-1].response.body == ANSWER


# -- when a side dies


def test_a_caller_that_never_acknowledges_is_dropped_and_so_is_the_callee(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    exchange.fate = lambda sent: () if alice.address in (sent.hop.local, sent.hop.remote) else (0.0,)
    exchange.pass_time(40)
    ended = bob.one(CallEnded)
    assert ended.request is not None
    assert "SIP;cause=408" in (ended.request.headers.get("Reason") or "")
    assert exchange.record.ended_by == "caller"


def test_a_phone_that_forgot_the_call_ends_it_for_the_other(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, _ = up(exchange, alice, bob)
    bob.restart()
    ours.call.send("INFO", b"x", now=exchange.clock.now, content_type="text/plain")
    exchange.pass_time(0)
    assert alice.one(ResponseReceived).response.status == 481
    alice.one(CallEnded)
    exchange.pass_time(70)
    assert exchange.pbx.live == 0


def test_a_call_ends_at_the_longest_duration() -> None:
    exchange = Exchange(config=B2buaConfig(duration_limit=60))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    up(exchange, alice, bob)
    exchange.pass_time(61)
    for phone in (alice, bob):
        ended = phone.one(CallEnded)
        assert ended.request is not None
        assert "the call lasted 60 s" in (ended.request.headers.get("Reason") or "")
    assert exchange.record.ended_by == "pbx"


def test_who_registered_over_a_stream_is_called_over_it(exchange: Exchange, alice: PhoneAt) -> None:
    bob = exchange.phone("1002", transport=Transport.TCP, host="203.0.113.7")
    bob.register(contact=NameAddr.parse("<sip:1002@10.0.0.5:5060;transport=tcp>").uri)
    exchange.pass_time(0)
    ours, _ = up(exchange, alice, bob)
    assert {sent.hop.remote for sent in exchange.said(None, "INVITE", bob)} == {bob.address}
    ours.call.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(CallEnded)


def test_a_lost_stream_unregisters_and_ends_the_call_that_cannot_be_reached(
    exchange: Exchange, alice: PhoneAt
) -> None:
    bob = exchange.registered("1002", transport=Transport.TCP)
    up(exchange, alice, bob)
    flow = exchange.registrar.bindings("1002", exchange.clock.now)[0].hop
    exchange.pbx.transport_failed(flow, "connection reset", exchange.clock.now)
    assert exchange.registrar.bindings("1002", exchange.clock.now) == ()
    exchange.fate = lambda sent: () if sent.hop.remote == bob.address else (0.0,)
    exchange.pass_time(0)
    exchange.pbx.transport_failed(flow, "connection refused", exchange.clock.now)
    exchange.pass_time(0)
    ended = alice.one(CallEnded)
    assert ended.request is not None
    assert "cannot be reached" in (ended.request.headers.get("Reason") or "")


def test_a_restored_description_is_newer_than_the_one_it_undoes(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    """An offer that its maker withdrew (CANCEL) but the other side took is undone by the former one."""
    ours, _ = up(exchange, alice, bob)
    ours.call.reinvite(description(40_002), now=exchange.clock.now)
    exchange.pass_time(0)
    invite = exchange.said(alice, "INVITE")[-1]
    cancel = invite.text.partition("\r\n\r\n")[0].replace("INVITE", "CANCEL").split("\r\n")
    kept = [line for line in cancel if not line.startswith(("Content-", "Contact", "Allow"))]
    cancel_data = ("\r\n".join(kept) + "\r\nContent-Length: 0\r\n\r\n").encode()
    exchange.pbx.receive(
        cancel_data, alice.hop.__class__(alice.hop.transport, PBX, alice.address), exchange.clock.now
    )
    exchange.pass_time(0)
    assert alice.one(OfferFailed).status == 487
    bob.one(OfferReceived).call.accept_offer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    undone = SessionDescription.parse(bob.all(OfferReceived)[-1].request.body)
    assert undone.media[0].port == 40_000
    assert undone.origin.version == 2


class SilentPaths(DirectPaths):
    """Paths on which nothing is heard from the beginning, as a relay would report."""

    def __init__(self) -> None:
        self.closed = 0

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        return _Silent(self, now)


class _Silent(DirectPath):
    def __init__(self, paths: SilentPaths, now: float) -> None:
        self._paths, self._since = paths, now

    def silent_since(self) -> float | None:
        return self._since

    def close(self, now: float, ended_by: LegSide | None = None) -> Relayed | None:
        self._paths.closed += 1
        return Relayed(from_caller=3)


class _Noting(DirectPaths):
    """Remembers which calls were to be direct."""

    def __init__(self) -> None:
        self.direct: list[bool] = []

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        self.direct.append(direct)
        return super().open(caller, callees, now, direct=direct)


@pytest.mark.parametrize(
    ("caller", "callee", "direct"), [("1001", "1002", False), ("1009", "1002", True), ("1001", "1009", True)]
)
def test_audio_goes_past_the_pbx_where_a_user_wants_it(caller: str, callee: str, direct: bool) -> None:
    paths = _Noting()
    plan = PbxPlan((account("1001"), account("1002"), account("1009", direct=True)))
    exchange = Exchange(paths=paths, plan=plan)
    phones = {user: exchange.registered(user) for user in ("1001", "1002", "1009")}
    phones[caller].call(callee)
    exchange.pass_time(1)
    assert paths.direct == [direct]


def test_a_call_without_media_is_ended_and_its_path_closed() -> None:
    paths = SilentPaths()
    exchange = Exchange(config=B2buaConfig(idle_limit=120), paths=paths)
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    up(exchange, alice, bob)
    exchange.pass_time(119)
    assert not exchange.record.over
    exchange.pass_time(3)
    for phone in (alice, bob):
        ended = phone.one(CallEnded)
        assert ended.request is not None
        assert "no media from either side" in (ended.request.headers.get("Reason") or "")
    assert exchange.record.relayed == Relayed(from_caller=3)
    assert paths.closed == 1


def test_one_account_cannot_take_all_calls() -> None:
    exchange = Exchange(config=B2buaConfig(max_calls_per_account=1))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived)
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 503


def test_groups_by_q_ring_one_after_the_other() -> None:
    exchange = Exchange(config=B2buaConfig(strategy=Strategy.BY_Q))
    alice, first, second = (exchange.phone(user) for user in ("1001", "1002", "1002"))
    for phone, q in ((first, "1.0"), (second, "0.5")):
        contact = f"<sip:1002@{phone.address}>;q={q}"
        phone.register(headers=[("Contact", contact)])
        exchange.pass_time(0)
    assert [b.q for b in exchange.registrar.bindings("1002", exchange.clock.now)] == [1.0, 0.5]
    alice.call("1002")
    exchange.pass_time(0)
    assert not second.all(CallReceived)
    first.one(CallReceived).call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    second.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(CallAnswered).response.body == ANSWER


def test_a_phone_that_takes_the_event_talk_answers_when_a_program_says_so(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    alice.call("1002")
    exchange.pass_time(0)
    call = exchange.pbx.live_calls[0][0].id
    theirs = bob.one(CallReceived)
    assert not exchange.pbx.tell_to_answer(call, None, exchange.clock.now), "nothing rings yet"
    theirs.call.ring(now=exchange.clock.now, headers=[("Allow-Events", "dialog, talk, hold")])
    exchange.pass_time(0)
    assert not exchange.pbx.tell_to_answer(call, "1001", exchange.clock.now), "no phone of the caller rings"
    assert not exchange.pbx.tell_to_answer("another", None, exchange.clock.now)
    assert exchange.pbx.tell_to_answer(call, "1002", exchange.clock.now)
    exchange.pass_time(0)
    (told,) = exchange.said(None, "NOTIFY", bob)
    assert "\r\nEvent: talk\r\n" in told.text
    assert f"\r\nCall-ID: {theirs.call.call_id}\r\n" in told.text
    theirs.call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(CallConfirmed)
    assert not exchange.pbx.tell_to_answer(call, None, exchange.clock.now), "it is answered"
    theirs.call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_a_phone_that_has_not_said_so_is_not_told_to_answer(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours = alice.call("1002")
    exchange.pass_time(0)
    call = exchange.pbx.live_calls[0][0].id
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    assert not exchange.pbx.tell_to_answer(call, None, exchange.clock.now)
    exchange.pass_time(0)
    assert not exchange.said(None, "NOTIFY", bob)
    ours.cancel(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()
