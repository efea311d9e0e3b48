"""Transfers, hold with music and parking, in virtual time."""

from __future__ import annotations

from callwright.pbx.plan import ConferenceRoom, ParkingSlot, PbxPlan
from callwright.sdp.description import SessionDescription
from callwright.sip.call import Call
from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallEnded,
    CallFailed,
    CallReceived,
    OfferAnswered,
    OfferReceived,
    ResponseReceived,
)
from tests.simulation.exchange import DOMAIN, Exchange, PhoneAt, account, description

PORTS = {"1001": 40_000, "1002": 50_000, "1003": 60_000, "1004": 30_000}


def exchange_of(**services: object) -> Exchange:
    accounts = tuple(account(user) for user in PORTS)
    return Exchange(plan=PbxPlan(**{"accounts": accounts} | services))  # type: ignore[arg-type]


def phone(exchange: Exchange, user: str) -> PhoneAt:
    """A registered phone that takes every offer, and says the same of its audio each time."""
    made = exchange.registered(user)

    def react(event: object) -> None:
        if isinstance(event, OfferReceived):
            event.call.accept_offer(description(PORTS[user]), now=made.now)

    made.react = react
    return made


def talk(caller: PhoneAt, number: str, callee: PhoneAt) -> tuple[Call, Call]:
    """A call that is up: the leg of the caller, and that of the callee."""
    call = caller.call(number, description(PORTS[caller.user]))
    caller.exchange.pass_time(0)
    theirs = answer(callee)
    call.acknowledge(now=caller.now)
    caller.exchange.pass_time(1)
    return call, theirs


def answer(callee: PhoneAt) -> Call:
    received = callee.all(CallReceived)[-1].call
    received.ring(now=callee.now)
    received.answer(description(PORTS[callee.user]), now=callee.now)
    callee.exchange.pass_time(0)
    return received


def refer(phone: PhoneAt, call: Call, to: str, *, replaces: Call | None = None) -> int | None:
    """Refer the PBX to a number; what the REFER was answered."""
    uri = f"sip:{to}@{DOMAIN}"
    if replaces is not None:
        assert replaces.dialog is not None
        dialog = replaces.dialog
        value = f"{dialog.call_id}%3Bto-tag%3D{dialog.remote_tag}%3Bfrom-tag%3D{dialog.local_tag}"
        uri += f"?Replaces={value}"
    call.send("REFER", now=phone.now, headers=[("Refer-To", f"<{uri}>"), ("Contact", call.contact)])
    phone.exchange.pass_time(0)
    answers = [
        event.response.status for event in phone.all(ResponseReceived) if event.handle.method == "REFER"
    ]
    return answers[-1] if answers else None


def notified(exchange: Exchange, phone: PhoneAt) -> list[str]:
    """What the phone was told of its transfer."""
    return [sent.text.split("\r\n\r\n", 1)[1].strip() for sent in exchange.said(None, "NOTIFY", phone)]


def sends_to(phone: PhoneAt) -> int:
    """The port to which the phone was told last to send its audio."""
    bodies = [
        sent.text.split("\r\n\r\n", 1)[1]
        for sent in phone.exchange.log
        if sent.hop.remote == phone.address and "application/sdp" in sent.text
    ]
    return SessionDescription.parse(bodies[-1].encode()).media[0].port


def test_callee_transfers_the_caller_blind() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, theirs = talk(alice, "1002", bob)
    assert refer(bob, theirs, "1003") == 202
    assert notified(exchange, bob) == ["SIP/2.0 100 Trying"]
    assert exchange.stages[0].last() == ("play", "ringing")
    assert sends_to(alice) == 20_000, "ringing of the PBX"
    received = carol.one(CallReceived).request.headers
    assert received.from_.uri.user == "1001"
    assert received.get("P-Asserted-Identity") == f'"Phone 1001" <sip:1001@{DOMAIN}>'
    assert received.get("Referred-By") == f"<sip:1002@{DOMAIN}>"
    waiting = exchange.pbx.calls[-1]
    assert waiting.answered_at is None, "nobody has answered it yet"
    answer(carol)
    assert exchange.pbx.calls[-1].answered_at == exchange.clock.now
    assert notified(exchange, bob)[1:] == ["SIP/2.0 200 OK"]
    assert "terminated" in exchange.said(None, "NOTIFY", bob)[-1].header("Subscription-State")
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)
    exchange.pass_time(2.1)
    assert bob.one(CallEnded).call is theirs, "who transferred is hung up"
    assert exchange.pbx.live == 1
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(carol.all(CallEnded)) == 1
    first, second = exchange.pbx.calls
    assert (first.caller, first.callee, first.reason) == ("1001", "1002", "transferred to 1003 by 1002")
    assert (second.caller, second.callee, second.transferred_by, second.status) == (
        "1001",
        "1003",
        "1002",
        200,
    )
    exchange.assert_quiet()


def test_caller_transfers_the_callee_blind_and_the_new_callee_sees_who_it_is() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, _ = talk(alice, "1002", bob)
    assert refer(alice, ours, "1003") == 202
    assert carol.one(CallReceived).request.headers.from_.uri.user == "1002"
    answer(carol)
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(5)
    assert (sends_to(bob), sends_to(carol)) == (60_000, 50_000)
    assert exchange.pbx.live == 1
    assert exchange.pbx.calls[-1].caller == "1002"


def test_peer_comes_back_when_the_number_is_busy() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    talk_legs = talk(alice, "1002", bob)
    refer(bob, talk_legs[1], "1003")
    carol.one(CallReceived).call.reject(486, now=exchange.clock.now)
    exchange.pass_time(1)
    assert notified(exchange, bob)[-1] == "SIP/2.0 486 Busy Here"
    assert (sends_to(alice), sends_to(bob)) == (50_000, 40_000)
    assert not bob.all(CallEnded)
    talk_legs[1].hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_phone_that_hung_up_already_is_called_again_when_nobody_answers() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    _, theirs = talk(alice, "1002", bob)
    refer(bob, theirs, "1003")
    theirs.hangup(now=exchange.clock.now)
    exchange.pass_time(1)
    carol.one(CallReceived).call.reject(480, now=exchange.clock.now)
    exchange.pass_time(0)
    assert len(bob.all(CallReceived)) == 2
    answer(bob)
    assert (sends_to(alice), sends_to(bob)) == (50_000, 40_000)
    assert exchange.pbx.live == 1


def test_peer_that_hangs_up_while_it_is_transferred_ends_all() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, theirs = talk(alice, "1002", bob)
    refer(bob, theirs, "1003")
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(carol.all(CallCanceled)) == 1
    assert len(bob.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_attended_transfer_joins_the_two_peers() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    _, first = talk(alice, "1002", bob)
    first.reinvite(description(50_000, direction="sendonly"), now=exchange.clock.now)
    exchange.pass_time(0)
    second, _ = talk(bob, "1003", carol)
    assert refer(bob, first, "1003", replaces=second) == 202
    exchange.pass_time(0)
    assert notified(exchange, bob) == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)
    last = SessionDescription.parse(alice.all(OfferReceived)[-1].request.body)
    assert last.direction_of(last.media[0]) == "sendrecv", "nobody stays on hold"
    exchange.pass_time(3)
    assert len(bob.all(CallEnded)) == 2
    assert exchange.pbx.live == 1
    joined = exchange.pbx.calls[-1]
    assert (joined.caller, joined.callee, joined.transferred_by) == ("1001", "1003", "1002")
    carol.all(CallReceived)[-1].call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_transfer_to_a_call_that_rings_still_goes_to_its_number() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    _, first = talk(alice, "1002", bob)
    second = bob.call("1003", description(50_000))
    exchange.pass_time(0)
    carol.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    early = next(iter(second.early_dialogs.values()))
    value = f"{second.call_id}%3Bto-tag%3D{early.remote_tag}%3Bfrom-tag%3D{early.local_tag}"
    uri = f"sip:1003@{DOMAIN}?Replaces={value}"
    first.send("REFER", now=bob.now, headers=[("Refer-To", f"<{uri}>"), ("Contact", first.contact)])
    exchange.pass_time(0)
    assert len(carol.all(CallReceived)) == 2
    answer(carol)
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)


def test_transfer_into_a_conference_succeeds_at_once() -> None:
    exchange = exchange_of(conferences=(ConferenceRoom("800"),))
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    _, theirs = talk(alice, "1002", bob)
    refer(bob, theirs, "800")
    assert exchange.stages[0].last() == ("join", "800")
    assert notified(exchange, bob)[-1] == "SIP/2.0 200 OK"
    assert (exchange.pbx.calls[-1].status, exchange.pbx.calls[-1].answered_at) == (200, exchange.clock.now)


def test_refer_elsewhere_or_without_a_call_is_refused() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, theirs = talk(alice, "1002", bob)
    headers = [("Refer-To", "<sip:1003@carrier.example>"), ("Contact", theirs.contact)]
    theirs.send("REFER", now=bob.now, headers=headers)
    exchange.pass_time(0)
    assert bob.one(ResponseReceived).response.status == 403
    assert refer(alice, ours, "1003", replaces=ours) == 481
    for value in ("", "nonsense<", f"<sip:1003@{DOMAIN}?Replaces=x>"):
        theirs.send("REFER", now=bob.now, headers=[("Refer-To", value)])
        exchange.pass_time(0)
        assert bob.all(ResponseReceived)[-1].response.status == 400
    assert not carol.all(CallReceived)
    assert exchange.pbx.live == 1


# -- hold


def with_music() -> tuple[Exchange, PhoneAt, PhoneAt, Call, Call]:
    exchange = exchange_of(music=("music",))
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    return exchange, alice, bob, *talk(alice, "1002", bob)


def test_held_party_hears_music_until_the_call_is_taken_back() -> None:
    exchange, alice, bob, ours, _ = with_music()
    ours.reinvite(description(40_000, direction="sendonly"), now=exchange.clock.now)
    exchange.pass_time(0)
    (stage,) = exchange.stages
    assert stage.did == [("play", "music")]
    assert sends_to(bob) == 20_000
    told = SessionDescription.parse(alice.one(OfferAnswered).response.body)
    assert told.direction_of(told.media[0]) == "recvonly"
    exchange.pass_time(10)
    ours.reinvite(description(40_000), now=exchange.clock.now)
    exchange.pass_time(0)
    assert stage.closed
    assert (sends_to(alice), sends_to(bob)) == (50_000, 40_000)
    versions = [SessionDescription.parse(e.request.body).origin for e in bob.all(OfferReceived)]
    assert [origin.session_id for origin in versions] == [40_000, 40_000]
    assert versions[1].version == versions[0].version + 1


def test_hold_that_is_said_again_stays_one() -> None:
    exchange, alice, bob, ours, _ = with_music()
    for _ in range(2):
        ours.reinvite(description(40_000, direction="inactive"), now=exchange.clock.now)
        exchange.pass_time(5)
    assert len(alice.all(OfferAnswered)) == 2
    assert len(exchange.stages) == 1
    assert len(bob.all(OfferReceived)) == 1


def test_call_that_ends_on_hold_ends_the_music() -> None:
    exchange, alice, _, ours, theirs = with_music()
    ours.reinvite(description(40_000, direction="sendonly"), now=exchange.clock.now)
    exchange.pass_time(1)
    theirs.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert exchange.stages[0].closed
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_party_on_hold_with_music_is_transferred() -> None:
    exchange, alice, bob, ours, _ = with_music()
    carol = phone(exchange, "1003")
    ours.reinvite(description(40_000, direction="sendonly"), now=exchange.clock.now)
    exchange.pass_time(1)
    second, _ = talk(alice, "1003", carol)
    refer(alice, ours, "1003", replaces=second)
    exchange.pass_time(3)
    assert (sends_to(bob), sends_to(carol)) == (60_000, 50_000)
    assert all(stage.closed for stage in exchange.stages)


# -- parking


def parked() -> tuple[Exchange, PhoneAt, PhoneAt]:
    exchange = exchange_of(parking=(ParkingSlot("701", 60),))
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    _, theirs = talk(alice, "1002", bob)
    assert refer(bob, theirs, "701") == 202
    exchange.pass_time(3)
    assert notified(exchange, bob)[-1] == "SIP/2.0 200 OK"
    assert exchange.stages[0].last() == ("play", "music")
    return exchange, alice, bob


def test_parked_call_is_fetched_by_dialling_its_number() -> None:
    exchange, alice, _ = parked()
    carol = phone(exchange, "1003")
    call = carol.call("701", description(60_000))
    exchange.pass_time(0)
    assert len(carol.all(CallAnswered)) == 1
    call.acknowledge(now=carol.now)
    exchange.pass_time(1)
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)
    assert exchange.stages[0].closed
    assert exchange.pbx.live == 1
    call.hangup(now=carol.now)
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_parked_call_that_nobody_fetches_rings_who_parked_it_and_waits_on() -> None:
    exchange, alice, bob = parked()
    exchange.pass_time(60)
    assert len(bob.all(CallReceived)) == 2
    bob.all(CallReceived)[-1].call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    assert exchange.stages[0].last() == ("play", "music")
    exchange.pass_time(60)
    answer(bob)
    assert (sends_to(alice), sends_to(bob)) == (50_000, 40_000)


def test_taken_slot_gives_the_call_back_and_an_empty_one_is_not_found() -> None:
    exchange, _, _ = parked()
    carol, dan = phone(exchange, "1003"), phone(exchange, "1004")
    ours, _ = talk(carol, "1004", dan)
    refer(carol, ours, "701")
    exchange.pass_time(1)
    assert notified(exchange, carol)[-1] == "SIP/2.0 486 Busy Here"
    assert (sends_to(carol), sends_to(dan)) == (30_000, 60_000)


def test_empty_slot_is_not_found() -> None:
    exchange = exchange_of(parking=(ParkingSlot("701"),))
    alice = phone(exchange, "1001")
    alice.call("701")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 404


# -- INVITE with Replaces (RFC 3891)


def replacing(phone: PhoneAt, replaced: Call) -> Call:
    """Call the PBX in the place of a leg that another phone has; answered as soon as it was."""
    assert replaced.dialog is not None
    value = str(replaced.as_replaced)
    call = phone.call(
        replaced.remote.uri.user or "", description(PORTS[phone.user]), headers=[("Replaces", value)]
    )
    phone.exchange.pass_time(0)
    if phone.all(CallAnswered):
        call.acknowledge(now=phone.now)
        phone.exchange.pass_time(1)
    return call


def test_a_phone_takes_over_a_call_of_another_phone() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, theirs = talk(alice, "1002", bob)
    replacing(carol, theirs)
    assert bob.one(CallEnded).call is theirs
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(carol.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_a_phone_picks_up_by_replaces_what_rings_at_another() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours = alice.call("1002", description(PORTS["1001"]))
    exchange.pass_time(0)
    theirs = bob.one(CallReceived).call
    theirs.ring(now=bob.now)
    exchange.pass_time(1)
    replacing(carol, theirs)
    ours.acknowledge(now=alice.now)
    exchange.pass_time(1)
    bob.one(CallCanceled)
    assert (sends_to(alice), sends_to(carol)) == (60_000, 40_000)
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_replaces_for_a_dead_dialog_is_refused_by_the_pbx() -> None:
    exchange = exchange_of()
    alice, bob, carol = (phone(exchange, user) for user in ("1001", "1002", "1003"))
    ours, theirs = talk(alice, "1002", bob)
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(1)
    replacing(carol, theirs)
    assert carol.one(CallFailed).status == 481
    exchange.pass_time(40)
    exchange.assert_quiet()
