"""What the PBX answers itself, in virtual time: menus, queues, conferences, mailboxes, parking, pick-up."""

from __future__ import annotations

from pathlib import Path

import pytest

from callwright.pbx.accounts import Forwarding
from callwright.pbx.messages import Mailboxes
from callwright.pbx.plan import (
    ConferenceRoom,
    EchoTest,
    Hunt,
    InboundNumber,
    Menu,
    MessageCenter,
    PbxPlan,
    Pickup,
    Queue,
    RingGroup,
    Trunk,
)
from callwright.pbx.record import MailboxChanged
from callwright.sdp.description import SessionDescription
from callwright.sip.call import Call
from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallEnded,
    CallFailed,
    CallReceived,
    OfferReceived,
)
from callwright.sip.uri import NameAddr
from tests.simulation.exchange import DOMAIN, Exchange, ListenedStage, PhoneAt, account, description

USERS = tuple(account(user) for user in ("1001", "1002", "1003", "1004"))


def exchange_of(*, mailboxes: Mailboxes | None = None, **services: object) -> Exchange:
    return Exchange(plan=PbxPlan(**{"accounts": USERS} | services), mailboxes=mailboxes)  # type: ignore[arg-type]


def answers_offers(phone: PhoneAt, port: int) -> None:
    """The phone takes every re-INVITE, as all phones do."""

    def react(event: object) -> None:
        if isinstance(event, OfferReceived):
            event.call.accept_offer(description(port), now=phone.now)

    phone.react = react


def served(exchange: Exchange, phone: PhoneAt, number: str) -> tuple[Call, ListenedStage]:
    """The phone has called a service, which has answered."""
    before = len(exchange.stages)
    call = phone.call(number)
    exchange.pass_time(0)
    assert phone.all(CallAnswered)[-1].call is call
    call.acknowledge(now=phone.now)
    exchange.pass_time(0)
    assert len(exchange.stages) == before + 1
    return call, exchange.stages[-1]


def answer(phone: PhoneAt, port: int = 50_000) -> Call:
    """The phone that rings answers."""
    received = phone.all(CallReceived)[-1]
    received.call.ring(now=phone.now)
    received.call.answer(description(port), now=phone.now)
    phone.exchange.pass_time(0)
    return received.call


def port_told(phone: PhoneAt) -> int:
    """Where the phone was last told to send its audio."""
    offers = phone.all(OfferReceived)
    return SessionDescription.parse(offers[-1].request.body).media[0].port


def test_echo_beeps_and_then_sends_back() -> None:
    exchange = exchange_of(echoes=(EchoTest("*43"),))
    alice = exchange.phone("1001")
    call, stage = served(exchange, alice, "*43")
    assert stage.did == [("play", "beep")]
    stage.hear_out()
    assert stage.last() == ("echo",)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert stage.closed
    assert (exchange.record.status, exchange.record.ended_by, exchange.record.talked) == (200, "caller", 0)
    exchange.assert_quiet()


def test_service_is_for_accounts_only() -> None:
    exchange = exchange_of(echoes=(EchoTest("*43"),))
    stranger = exchange.phone("9999")
    stranger.call("*43")
    exchange.pass_time(0)
    assert stranger.one(CallFailed).status == 407
    assert exchange.stages == []


# -- menus


MENU = Menu("500", (("1", "1002"), ("2", "600")), ("welcome.wav",), seconds=5, tries=2, otherwise="1003")


def test_key_connects_the_caller_who_hears_ringing_until_the_answer() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    answers_offers(alice, 40_000)
    call, stage = served(exchange, alice, "500")
    assert stage.did == [("play", "welcome.wav")]
    stage.press("1")
    assert stage.last() == ("play", "ringing")
    assert SessionDescription.parse(bob.one(CallReceived).request.body).media[0].port == 40_000
    theirs = answer(bob, 50_000)
    assert port_told(alice) == 50_000
    assert stage.closed
    exchange.pass_time(3)
    theirs.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert alice.one(CallEnded).call is call
    record = exchange.record
    assert (record.callee, record.status, record.ended_by) == ("500", 200, "callee")
    exchange.assert_quiet()


def test_session_towards_the_caller_keeps_its_name_and_counts_its_version_up() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    answers_offers(alice, 40_000)
    _, stage = served(exchange, alice, "500")
    stage.press("1")
    answer(bob)
    first = SessionDescription.parse(alice.one(CallAnswered).response.body).origin
    then = SessionDescription.parse(alice.one(OfferReceived).request.body).origin
    assert (then.session_id, then.version) == (first.session_id, first.version + 1)


def test_callee_is_told_anew_when_the_caller_moves_its_audio() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    answers_offers(alice, 41_000)
    answers_offers(bob, 50_000)
    _, stage = served(exchange, alice, "500")
    stage.press("1")
    answer(bob)
    assert port_told(bob) == 41_000


def test_caller_who_presses_nothing_is_asked_again_and_then_sent_elsewhere() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, carol = exchange.phone("1001"), exchange.registered("1003")
    _, stage = served(exchange, alice, "500")
    stage.hear_out()
    exchange.pass_time(5.1)
    assert stage.last() == ("play", "say:again", "welcome.wav")
    stage.hear_out()
    exchange.pass_time(5.1)
    assert stage.last() == ("play", "ringing")
    assert len(carol.all(CallReceived)) == 1


def test_wrong_key_and_number_that_nobody_answers_lead_back_to_the_menu() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice = exchange.phone("1001")
    _, stage = served(exchange, alice, "500")
    stage.press("9")
    assert stage.last() == ("play", "say:again", "welcome.wav")
    stage.press("1")  # nobody is registered there, and this was the last try: nobody is at 1003 either
    assert stage.last() == ("play", "ringing")
    exchange.pass_time(0)
    assert len(alice.all(CallEnded)) == 1


def test_menu_without_another_number_says_goodbye_and_hangs_up() -> None:
    exchange = exchange_of(menus=(Menu("500", (("1", "1002"),), seconds=5, tries=1),))
    alice = exchange.phone("1001")
    _, stage = served(exchange, alice, "500")
    stage.hear_out()
    exchange.pass_time(5.1)
    assert stage.last() == ("play", "say:goodbye")
    stage.hear_out()
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_whole_number_may_be_dialled_where_the_menu_permits_it() -> None:
    exchange = exchange_of(menus=(Menu("500", (("1", "1003"),), direct=True),))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    carol = exchange.registered("1003")
    _, stage = served(exchange, alice, "500")
    stage.press("1002")
    assert len(bob.all(CallReceived)) == 1
    assert not carol.all(CallReceived)


def test_key_is_taken_after_a_pause_where_numbers_may_follow() -> None:
    exchange = exchange_of(menus=(Menu("500", (("1", "1003"),), direct=True),))
    alice, carol = exchange.phone("1001"), exchange.registered("1003")
    _, stage = served(exchange, alice, "500")
    stage.press("1")
    assert not carol.all(CallReceived)
    exchange.pass_time(3.1)
    assert len(carol.all(CallReceived)) == 1


def test_caller_who_hangs_up_while_it_rings_cancels_the_call() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    call, stage = served(exchange, alice, "500")
    stage.press("1")
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(bob.all(CallCanceled)) == 1
    assert stage.closed
    exchange.assert_quiet()


def test_keys_as_info_count_like_those_of_rfc_4733() -> None:
    exchange = exchange_of(menus=(MENU,))
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    call, _ = served(exchange, alice, "500")
    body = b"Signal=1\r\nDuration=160\r\n"
    call.send("INFO", body, now=exchange.clock.now, content_type="application/dtmf-relay")
    exchange.pass_time(0)
    assert len(bob.all(CallReceived)) == 1


# -- conferences


def test_participants_of_a_conference_join_its_room_up_to_its_places() -> None:
    exchange = exchange_of(conferences=(ConferenceRoom("800", most=2),))
    for user in ("1001", "1002"):
        _, stage = served(exchange, exchange.phone(user), "800")
        assert stage.did == [("join", "800")]
    _, stage = served(exchange, exchange.phone("1003"), "800")
    assert stage.did == [("play", "say:goodbye")]
    exchange.stages[0].exchange.phones[exchange.stages[0].hop.remote].all(CallAnswered)[0].call.hangup(
        now=exchange.clock.now
    )
    exchange.pass_time(0)
    _, stage = served(exchange, exchange.phone("1004"), "800")
    assert stage.did == [("join", "800")]


def test_conference_with_a_pin_lets_in_who_knows_it() -> None:
    exchange = exchange_of(conferences=(ConferenceRoom("800", pin="1234"),))
    _, stage = served(exchange, exchange.phone("1001"), "800")
    assert stage.did == [("play", "say:number")]
    stage.press("9999")
    assert stage.last() == ("play", "say:again")
    stage.press("1234")
    assert stage.last() == ("join", "800")


def test_three_wrong_pins_end_the_call() -> None:
    exchange = exchange_of(conferences=(ConferenceRoom("800", pin="1234"),))
    alice = exchange.phone("1001")
    _, stage = served(exchange, alice, "800")
    stage.press("1#2#3#")
    assert stage.last() == ("play", "say:goodbye")
    stage.hear_out()
    exchange.pass_time(0)
    assert len(alice.all(CallEnded)) == 1


# -- voicemail


@pytest.fixture
def mailboxes(tmp_path: Path) -> Mailboxes:
    return Mailboxes(tmp_path)


def with_voicemail(mailboxes: Mailboxes, box: str = "") -> Exchange:
    users = (account("1001"), account("1002", mailbox=True, box=box, forwarding=Forwarding(after=10)))
    plan = PbxPlan(users, message_centers=(MessageCenter("*97"),))
    return Exchange(plan=plan, mailboxes=mailboxes)


def leave_message(exchange: Exchange, caller: PhoneAt) -> ListenedStage:
    call, stage = served(exchange, caller, "1002")
    assert stage.did == [("play", "say:absent", "beep")]
    stage.hear_out()
    assert stage.last() == ("record",)
    exchange.pass_time(3)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
    return stage


def test_message_is_taken_when_nobody_can_be_reached_and_its_owner_is_told(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    leave_message(exchange, exchange.phone("1001"))
    (message,) = mailboxes.messages("1002")
    assert (message.caller, message.seconds, message.heard) == ("1001", 3.0, False)
    assert message.left_at == pytest.approx(1_700_000_003)
    assert mailboxes.path("1002", message.id).read_bytes() == b"audio"
    told = [event for event in exchange.pbx.events() if isinstance(event, MailboxChanged)]
    assert [(event.user, event.new, event.heard) for event in told] == [("1002", 1, 0)]


def test_message_is_kept_in_the_mailbox_of_the_account_not_of_its_number(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes, box="id:7")
    leave_message(exchange, exchange.phone("1001"))
    (message,) = mailboxes.messages("id:7")
    assert (message.user, mailboxes.messages("1002")) == ("1002", [])
    told = [event for event in exchange.pbx.events() if isinstance(event, MailboxChanged)]
    assert [(event.user, event.new) for event in told] == [("1002", 1)]
    _, stage = served(exchange, exchange.phone("1002"), "*97")
    assert stage.last() == ("play", str(mailboxes.path("id:7", message.id)), "beep")


def test_message_of_a_caller_outside_whose_number_is_no_text_can_be_shown(mailboxes: Mailboxes) -> None:
    users = (account("1002", mailbox=True),)
    trunks = (Trunk("carrier", "sip:carrier.example", sources=("192.0.2.10",)),)
    plan = PbxPlan(users, trunks=trunks, inbound=(InboundNumber("1002", "1002"),))
    exchange = Exchange(plan=plan, mailboxes=mailboxes)
    carrier = exchange.phone("carrier")
    carrier.identity = NameAddr.parse(f"<sip:+43%E9%00@{DOMAIN}>")
    leave_message(exchange, carrier)
    (message,) = mailboxes.messages("1002")
    assert message.caller == "+43\ufffd\ufffd"


def test_message_is_taken_after_the_phone_has_rung(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    call = alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(10.1)
    assert len(bob.all(CallCanceled)) == 1
    assert alice.one(CallAnswered).call is call
    call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    assert exchange.stages[0].did == [("play", "say:absent", "beep")]
    assert [done.why for done in exchange.record.diversions] == ["no-answer"]


def test_call_that_says_nothing_leaves_no_message(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    call, stage = served(exchange, exchange.phone("1001"), "1002")
    stage.hear_out()
    stage.speech = 0.4
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
    assert mailboxes.messages("1002") == []


def test_message_ends_by_itself_after_three_minutes(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    _, stage = served(exchange, exchange.phone("1001"), "1002")
    stage.hear_out()
    exchange.pass_time(180.1)
    assert stage.last() == ("play", "say:goodbye")
    assert len(mailboxes.messages("1002")) == 1


def test_owner_hears_new_messages_first_and_deletes_one(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    alice, bob = exchange.phone("1001"), exchange.phone("1002")
    for _ in range(2):
        leave_message(exchange, alice)
    first, second = mailboxes.messages("1002")
    _, stage = served(exchange, bob, "*97")
    assert stage.last() == ("play", str(mailboxes.path("1002", first.id)), "beep")
    stage.press("1")
    assert stage.did[-2:] == [stage.last()] * 2
    stage.hear_out()
    assert stage.last() == ("play", str(mailboxes.path("1002", second.id)), "beep")
    stage.press("7")
    assert stage.last() == ("play", "say:end")
    assert [(message.id, message.heard) for message in mailboxes.messages("1002")] == [(first.id, True)]
    assert mailboxes.count("1002") == (0, 1)


def test_empty_mailbox_says_so(mailboxes: Mailboxes) -> None:
    exchange = with_voicemail(mailboxes)
    _, stage = served(exchange, exchange.phone("1001"), "*97")
    assert stage.did == [("play", "say:empty")]


def test_without_a_place_for_messages_the_caller_is_refused() -> None:
    exchange = Exchange(plan=PbxPlan((account("1001"), account("1002", mailbox=True))))
    alice = exchange.phone("1001")
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 480


def test_user_name_never_leads_out_of_the_folder(mailboxes: Mailboxes, tmp_path: Path) -> None:
    for user in ("../1002", "..", "a/b", ".", ""):
        assert mailboxes.path(user, "1").resolve().is_relative_to(tmp_path.resolve())
        assert mailboxes.path(user, "1").parent != tmp_path


# -- queues


QUEUE = Queue("700", ("1002", "1003"), seconds=10, longest=60, otherwise="1004")


def test_caller_waits_with_music_until_a_member_is_free() -> None:
    exchange = exchange_of(queues=(QUEUE,))
    alice, eve = exchange.phone("1001"), exchange.phone("1004")
    answers_offers(alice, 40_000)
    _, stage = served(exchange, alice, "700")
    assert stage.did == [("play", "music")]
    exchange.pass_time(5)
    bob = exchange.registered("1002")
    exchange.pass_time(1.1)
    theirs = answer(bob)
    assert port_told(alice) == 50_000
    _, second = served(exchange, eve, "700")
    exchange.pass_time(5)
    assert len(bob.all(CallReceived)) == 1, "who talks is not free"
    theirs.hangup(now=exchange.clock.now)
    exchange.pass_time(2)
    assert len(bob.all(CallReceived)) == 2
    assert second.last() == ("play", "music")


def test_members_in_order_are_rung_one_after_the_other_and_again() -> None:
    queue = Queue("700", ("1002", "1003"), hunt=Hunt.IN_ORDER, seconds=10)
    exchange = exchange_of(queues=(queue,))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    served(exchange, alice, "700")
    assert (len(bob.all(CallReceived)), len(carol.all(CallReceived))) == (1, 0)
    exchange.pass_time(10.1)
    assert (len(bob.all(CallReceived)), len(carol.all(CallReceived))) == (1, 1)
    exchange.pass_time(15.2)
    assert (len(bob.all(CallReceived)), len(carol.all(CallReceived))) == (2, 1)


def test_caller_goes_elsewhere_after_the_longest_wait() -> None:
    exchange = exchange_of(queues=(QUEUE,))
    alice, dan = exchange.phone("1001"), exchange.registered("1004")
    served(exchange, alice, "700")
    exchange.pass_time(60.1)
    assert len(dan.all(CallReceived)) == 1


def test_first_caller_is_served_first() -> None:
    exchange = exchange_of(queues=(QUEUE,))
    alice, eve = exchange.phone("1001"), exchange.phone("1004")
    served(exchange, alice, "700")
    exchange.pass_time(1)
    served(exchange, eve, "700")
    bob = exchange.registered("1002")
    exchange.pass_time(2)
    assert bob.one(CallReceived).request.headers.from_.uri.user == "1001"


def test_full_queue_sends_callers_elsewhere() -> None:
    exchange = exchange_of(queues=(Queue("700", ("1002",), most=1, otherwise="1003"),))
    carol = exchange.registered("1003")
    served(exchange, exchange.phone("1001"), "700")
    served(exchange, exchange.phone("1004"), "700")
    assert len(carol.all(CallReceived)) == 1


def test_services_that_lead_to_each_other_in_a_circle_end_the_call() -> None:
    exchange = exchange_of(queues=(Queue("700", ("1002",), most=1, otherwise="700"),))
    served(exchange, exchange.phone("1001"), "700")
    eve = exchange.phone("1004")
    served(exchange, eve, "700")
    assert len(eve.all(CallEnded)) == 1
    assert exchange.pbx.live == 1


# -- pick-up


def test_call_that_rings_at_a_colleague_is_picked_up() -> None:
    exchange = exchange_of(pickups=(Pickup("*8"),))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.phone("1003")
    answers_offers(carol, 60_000)
    call = alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(1)
    mine, stage = served(exchange, carol, "*81002")
    assert len(bob.all(CallCanceled)) == 1
    assert port_told(carol) == 40_000
    taken = alice.one(CallAnswered)
    assert SessionDescription.parse(taken.response.body).media[0].port == 60_000
    call.acknowledge(now=exchange.clock.now)
    assert stage.closed
    exchange.pass_time(2)
    mine.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_call_of_a_group_is_picked_up_by_the_number_of_the_group() -> None:
    exchange = exchange_of(pickups=(Pickup("*8"),), groups=(RingGroup("600", ("1002",)),))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.phone("1003")
    answers_offers(carol, 60_000)
    alice.call("600")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    served(exchange, carol, "*8600")
    assert len(alice.all(CallAnswered)) == 1


def test_pick_up_where_nothing_rings_is_refused() -> None:
    exchange = exchange_of(pickups=(Pickup("*8"),))
    carol = exchange.phone("1003")
    carol.call("*81002")
    exchange.pass_time(0)
    assert carol.one(CallFailed).status == 404
