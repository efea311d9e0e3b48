"""SUBSCRIBE to lines and mailboxes, in virtual time: who is told what, and when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from callwright.pbx.accounts import Forwarding
from callwright.pbx.messages import Mailboxes, VoiceMessage
from callwright.pbx.plan import MessageCenter, PbxPlan
from callwright.sip.client_request import ClientRequest
from callwright.sip.config import EndpointConfig
from callwright.sip.events import CallAnswered, CallReceived, RequestReceived, ResponseReceived
from tests.kit.wire import Sent
from tests.simulation.exchange import ANSWER, DOMAIN, Exchange, PhoneAt, account

ALLOW = EndpointConfig(allow=(*EndpointConfig().allow, "NOTIFY"), accept_elsewhere=("*",))


def exchange_of(mailboxes: Mailboxes | None = None) -> Exchange:
    accounts = (account("1001"), account("1002", mailbox=True), account("1003"))
    return Exchange(plan=PbxPlan(accounts, message_centers=(MessageCenter("*97"),)), mailboxes=mailboxes)


def watcher(exchange: Exchange, user: str, answers: int = 200) -> PhoneAt:
    made = exchange.phone(user, config=ALLOW)

    def react(event: object) -> None:
        if isinstance(event, RequestReceived) and event.request.method == "NOTIFY":
            made.endpoint.respond(event.transaction, answers, now=made.now)

    made.react = react
    return made


def subscribe(phone: PhoneAt, number: str, event: str, *headers: tuple[str, str]) -> ClientRequest:
    handle = phone.endpoint.request(
        "SUBSCRIBE",
        f"sip:{number}@{DOMAIN}",
        local=phone.identity,
        hop=phone.hop,
        now=phone.now,
        credentials=phone.credentials,
        headers=[("Event", event), *headers],
    )
    phone.exchange.pass_time(0)
    return handle


def status(phone: PhoneAt) -> int:
    return phone.all(ResponseReceived)[-1].response.status


def notified(phone: PhoneAt) -> list[Sent]:
    return phone.exchange.said(None, "NOTIFY", phone)


def states(phone: PhoneAt) -> list[str]:
    """What each NOTIFY says of the first call."""
    bodies = [sent.text.split("\r\n\r\n", 1)[1] for sent in notified(phone)]
    return [body.split("<state>")[1].split("<")[0] if "<state>" in body else "" for body in bodies]


def test_watcher_of_a_line_sees_it_ring_talk_and_end() -> None:
    exchange = exchange_of()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    carol = watcher(exchange, "1003")
    subscribe(carol, "1002", "dialog")
    assert status(carol) == 200
    call = alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(1)
    bob.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(1)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
    assert states(carol) == ["", "trying", "early", "confirmed", ""]
    early, up = notified(carol)[2].text, notified(carol)[3].text
    ringing = bob.one(CallReceived).request.headers
    tags = f'call-id="{ringing.call_id}" local-tag="{bob.one(CallReceived).call.local_tag}"'
    assert f'{tags} remote-tag="{ringing.from_.tag}" direction="recipient"' in early
    assert "local-tag" not in up, "who knows the tags of a call that is up can take it over"
    body = early
    assert 'entity="sip:1002@pbx.test"' in body
    assert 'version="2" state="full"' in body
    assert 'direction="recipient"' in body
    assert "<remote><identity>sip:1001@pbx.test</identity>" in body
    assert "<local><identity>sip:1002@pbx.test</identity>" in body
    assert f'id="{exchange.record.id}"' in body
    first = notified(carol)[0]
    assert first.header("Event") == "dialog"
    assert first.header("Subscription-State") == "active;expires=3600"


def test_subscription_ends_by_its_time_and_by_expires_zero() -> None:
    exchange = exchange_of()
    carol = watcher(exchange, "1003")
    subscribe(carol, "1002", "dialog", ("Expires", "60"))
    exchange.pass_time(61)
    assert notified(carol)[-1].header("Subscription-State") == "terminated;reason=timeout"
    subscribe(carol, "1002", "dialog", ("Expires", "0"))
    assert status(carol) == 200
    assert notified(carol)[-1].header("Subscription-State") == "terminated;reason=timeout"
    exchange.pass_time(60)
    alice, _ = exchange.phone("1001"), exchange.registered("1002")
    before = len(notified(carol))
    alice.call("1002")
    exchange.pass_time(0)
    assert len(notified(carol)) == before
    exchange.pass_time(600)
    assert sum(exchange.pbx.endpoint.pending()) == 0


@pytest.mark.parametrize("answer", [481, 404])
def test_subscriber_that_refuses_is_told_no_more(answer: int) -> None:
    exchange = exchange_of()
    alice, _ = exchange.phone("1001"), exchange.registered("1002")
    carol = watcher(exchange, "1003", answer)
    subscribe(carol, "1002", "dialog")
    alice.call("1002")
    exchange.pass_time(0)
    assert len(notified(carol)) == 1


@pytest.mark.parametrize(
    ("number", "event", "wanted"),
    [
        ("1002", "presence.winfo", 489),
        ("1002", "", 489),
        ("4711", "dialog", 404),
        ("1002", "message-summary", 403),
    ],
)
def test_what_cannot_be_watched_is_refused(number: str, event: str, wanted: int) -> None:
    exchange = exchange_of()
    carol = watcher(exchange, "1003")
    subscribe(carol, number, event)
    assert status(carol) == wanted
    assert notified(carol) == []


def test_stranger_is_asked_for_credentials() -> None:
    exchange = exchange_of()
    stranger = watcher(exchange, "9999")
    subscribe(stranger, "1002", "dialog")
    assert status(stranger) == 407


def test_owner_of_a_mailbox_is_told_of_messages_with_and_without_a_subscription(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    exchange = exchange_of(mailboxes)
    bob = watcher(exchange, "1002")
    bob.register()
    exchange.pass_time(0)
    assert "Messages-Waiting: no" in notified(bob)[-1].text
    subscribe(bob, "1002", "message-summary")
    mailboxes.path("1002", "m")
    mailboxes.keep(VoiceMessage("m", "1002", "1001", 0.0, 3.0))
    before = len(notified(bob))
    exchange.pbx.mailbox_changed("1002", exchange.clock.now)
    exchange.pbx.after_audio(lambda now: None, exchange.clock.now)
    exchange.pass_time(0)
    told = notified(bob)[before:]
    assert len(told) == 2, "one in the subscription, one beside it"
    for sent in told:
        assert "Messages-Waiting: yes\r\n" in sent.text
        assert "Message-Account: sip:1002@pbx.test\r\n" in sent.text
        assert "Voice-Message: 1/0 (0/0)\r\n" in sent.text


def test_line_that_a_call_is_forwarded_to_is_seen_to_ring_too() -> None:
    forwards = Forwarding(no_answer="1003", after=5)
    plan = PbxPlan((account("1001"), account("1002", forwarding=forwards), account("1003")))
    exchange = Exchange(plan=plan)
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    carol, watching = exchange.registered("1003"), watcher(exchange, "1001")
    subscribe(watching, "1003", "dialog")
    alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(5.1)
    carol.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    assert states(watching)[-1] == "early"
    carol.one(CallReceived).call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    assert states(watching)[-1] == ""
