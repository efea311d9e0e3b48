"""Presence of accounts: what the PBX knows, and what phones publish, as those see it who subscribe."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from callwright.pbx.plan import ConferenceRoom, Menu, PbxPlan, Queue
from callwright.pbx.presence import Unreadable, elements_of
from callwright.sip.client_request import ClientRequest
from callwright.sip.events import CallAnswered, CallReceived, Event, OfferReceived, ResponseReceived
from callwright.sip.message import Response
from tests.simulation.exchange import ANSWER, DOMAIN, Exchange, PhoneAt, account
from tests.simulation.test_pbx_watching import notified, status, subscribe, watcher

PIDF = "{urn:ietf:params:xml:ns:pidf}"
MODEL = "{urn:ietf:params:xml:ns:pidf:data-model}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"


def document(note: str = "at lunch", *, basic: str = "closed") -> bytes:
    return (
        '<?xml version="1.0"?>'
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
        ' entity="sip:1002@pbx.test">'
        f'<tuple id="a"><status><basic>{basic}</basic></status><note>{note}</note></tuple>'
        f'<dm:person id="a"><dm:note>{note}</dm:note></dm:person><x xmlns="urn:x"/></presence>'
    ).encode()


def told(phone: PhoneAt) -> tuple[str, str, list[str]]:
    """Of the last NOTIFY: basic of the PBX, its note, and the activities."""
    sent = notified(phone)[-1]
    assert sent.header("Content-Type") == "application/pidf+xml"
    root = ElementTree.fromstring(sent.text.split("\r\n\r\n", 1)[1])
    assert root.get("entity") == "sip:1002@pbx.test"
    ids = [element.get("id") for element in root if element.get("id")]
    assert len(ids) == len(set(ids))
    active = [one.tag.removeprefix(RPID) for found in root.iter(f"{RPID}activities") for one in found]
    basic, note = root.find(f"{PIDF}tuple/{PIDF}status/{PIDF}basic"), root.find(f"{PIDF}note")
    assert basic is not None
    assert note is not None
    return basic.text or "", note.text or "", active


def notes(phone: PhoneAt) -> list[str]:
    """What was published, as the last NOTIFY has it."""
    root = ElementTree.fromstring(notified(phone)[-1].text.split("\r\n\r\n", 1)[1])
    return [note.text or "" for note in root.findall(f"{PIDF}tuple/{PIDF}note")]


def publish(
    phone: PhoneAt,
    body: bytes = b"",
    *headers: tuple[str, str],
    user: str = "1002",
    kind: str = "",
    event: str = "presence",
) -> Response:
    """The final response."""
    before = len(phone.all(ResponseReceived))
    handle: ClientRequest = phone.endpoint.request(
        "PUBLISH",
        f"sip:{user}@{DOMAIN}",
        local=phone.identity,
        hop=phone.hop,
        now=phone.now,
        credentials=phone.credentials,
        body=body,
        content_type=kind or ("application/pidf+xml" if body else None),
        headers=[("Event", event), *headers],
    )
    phone.exchange.pass_time(0)
    assert handle is not None
    found = phone.all(ResponseReceived)[before:]
    return found[-1].response


def test_watcher_sees_a_user_come_ring_talk_wish_to_be_left_alone_and_go() -> None:
    exchange = Exchange()
    alice, carol = exchange.phone("1001"), watcher(exchange, "1003")
    subscribe(carol, "1002", "presence")
    assert status(carol) == 200
    assert told(carol) == ("closed", "Offline", [])
    bob = exchange.phone("1002")
    registration = bob.register()
    exchange.pass_time(0)
    assert told(carol) == ("open", "Online", [])
    call = alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    assert told(carol) == ("open", "Ringing", ["on-the-phone"])
    bob.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    assert told(carol) == ("open", "On the phone", ["on-the-phone"])
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
    assert told(carol) == ("open", "Online", [])
    quiet = exchange.pbx.plan.with_account(account("1002", do_not_disturb=True))
    exchange.pbx.adopt(quiet, exchange.clock.now)
    exchange.pass_time(0)
    assert told(carol) == ("open", "Do not disturb", ["busy"])
    registration.unregister(now=exchange.clock.now)
    exchange.pass_time(0)
    assert told(carol)[0] == "closed"


def test_what_a_phone_publishes_is_told_refreshed_changed_and_taken_back() -> None:
    exchange = Exchange()
    bob, carol = exchange.registered("1002"), watcher(exchange, "1003")
    subscribe(carol, "1002", "presence")
    first = publish(bob, document())
    assert (first.status, first.headers.get("expires")) == (200, "3600")
    assert notes(carol) == ["at lunch"]
    assert told(carol)[0] == "open", "the PBX goes on to tell what it knows"
    told_before = len(notified(carol))
    again = publish(bob, b"", ("SIP-If-Match", str(first.headers.get("sip-etag"))))
    assert again.headers.get("sip-etag") != first.headers.get("sip-etag")
    assert len(notified(carol)) == told_before, "a refresh changes nothing"
    assert publish(bob, b"", ("SIP-If-Match", str(first.headers.get("sip-etag")))).status == 412
    changed = publish(bob, document("back at 2"), ("SIP-If-Match", str(again.headers.get("sip-etag"))))
    assert notes(carol) == ["back at 2"]
    other = publish(bob, document("a second phone"))
    assert notes(carol) == ["back at 2", "a second phone"]
    gone = publish(bob, b"", ("SIP-If-Match", str(changed.headers.get("sip-etag"))), ("Expires", "0"))
    assert (gone.status, gone.headers.get("expires")) == (200, "0")
    assert notes(carol) == ["a second phone"]
    exchange.pass_time(3_599)
    assert publish(bob, b"", ("SIP-If-Match", str(other.headers.get("sip-etag")))).status == 200
    subscribe(carol, "1002", "presence")
    exchange.pass_time(3_601)
    subscribe(carol, "1002", "presence")
    assert notes(carol) == []


@pytest.mark.parametrize(
    ("body", "headers", "user", "kind", "event", "wanted"),
    [
        (b"", [], "1002", "", "presence", 400),
        (document(), [("SIP-If-Match", "nothing")], "1002", "", "presence", 412),
        (document(), [("Expires", "5")], "1002", "", "presence", 423),
        (document(), [], "1001", "", "presence", 403),
        (document(), [], "4711", "", "presence", 404),
        (document(), [], "1002", "", "dialog", 489),
        (b"busy", [], "1002", "text/plain", "presence", 415),
        (document("x" * 5_000), [], "1002", "", "presence", 413),
        (b"<presence/>", [], "1002", "", "presence", 400),
        (
            document().replace(b"?>", b"?><!DOCTYPE p [<!ENTITY a 'aaa'>]>", 1),
            [],
            "1002",
            "",
            "presence",
            400,
        ),
    ],
)
def test_what_cannot_be_published_is_refused(
    body: bytes, headers: list[tuple[str, str]], user: str, kind: str, event: str, wanted: int
) -> None:
    exchange = Exchange()
    bob = exchange.registered("1002")
    answer = publish(bob, body, *headers, user=user, kind=kind, event=event)
    assert answer.status == wanted
    if wanted == 423:
        assert answer.headers.get("min-expires") == "60"
    if wanted == 489:
        assert answer.headers.get("allow-events") == "presence"


def test_publications_of_one_account_are_few_and_a_stranger_has_none() -> None:
    exchange = Exchange()
    bob = exchange.registered("1002")
    assert [publish(bob, document()).status for _ in range(4)] == [200, 200, 200, 403]
    assert publish(exchange.phone("9999"), document()).status == 407


@pytest.mark.parametrize("wrong", [b"", b"<", b"\xff\xfe", b"<a/>", document().replace(b"xmlns=", b"x=")])
def test_documents_that_cannot_be_read_are_named_so(wrong: bytes) -> None:
    with pytest.raises(Unreadable):
        elements_of(wrong, "p")


def test_queue_menu_and_conference_are_watched_by_their_ids_and_tell_of_calls_by_theirs() -> None:
    services = PbxPlan(
        (account("1001"), account("1003")),
        queues=(Queue("600", ("1003",), id="12"),),
        menus=(Menu("700", (("1", "1003"),)),),
        conferences=(ConferenceRoom("800", id="12"),),
    )
    exchange = Exchange(plan=services)
    alice, carol = exchange.phone("1001"), watcher(exchange, "1003")
    for name, number in (("queue-12", "600"), ("ivr-700", "700"), ("conf-12", "800")):
        subscribe(carol, name, "dialog")
        assert status(carol) == 200
        call = alice.call(number)
        exchange.pass_time(0)
        alice.all(CallAnswered)[-1].call.acknowledge(now=exchange.clock.now)
        exchange.pass_time(0)
        body = notified(carol)[-1].text
        assert f'entity="sip:{name}@pbx.test"' in body
        assert f'<dialog id="{exchange.pbx.live_calls[0][0].id}" direction="recipient">' in body
        assert "<remote><identity>sip:1001@pbx.test</identity>" in body
        call.hangup(now=exchange.clock.now)
        exchange.pass_time(1)
        assert "<dialog " not in notified(carol)[-1].text
    for unknown in ("queue-13", "conf-700", "queue-", "lane-12"):
        subscribe(carol, unknown, "dialog")
        assert status(carol) == 404, unknown


def test_a_phone_picks_up_what_rings_by_the_tags_that_it_was_told() -> None:
    exchange = Exchange()
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), watcher(exchange, "1003")
    takes_notices = carol.react

    def react(happened: Event) -> None:
        if isinstance(happened, OfferReceived):
            happened.call.accept_offer(ANSWER, now=carol.now)
        elif takes_notices is not None:
            takes_notices(happened)

    carol.react = react
    subscribe(carol, "1002", "dialog")
    alice.call("1002")
    exchange.pass_time(0)
    bob.one(CallReceived).call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    body = notified(carol)[-1].text

    def said(name: str) -> str:
        return body.split(f'{name}="')[1].split('"')[0]

    replaces = f"{said('call-id')};to-tag={said('local-tag')};from-tag={said('remote-tag')}"
    carol.call("1002", headers=[("Replaces", replaces), ("Require", "replaces")])
    exchange.pass_time(0)
    carol.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.all(CallAnswered), "who rang is with who picked up"
