"""Phones that register with flows, paths and GRUUs at the PBX, in virtual time; and who is told of it."""

from __future__ import annotations

from callwright.sip.binding_wish import BindingWish
from callwright.sip.config import EndpointConfig
from callwright.sip.events import CallAnswered, CallReceived, RequestReceived, ResponseReceived
from callwright.sip.transport import Transport
from callwright.sip.uri import Uri
from tests.simulation.exchange import ANSWER, DOMAIN, Exchange, PhoneAt

URN = "urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
FLOW = BindingWish(path=True, instance=URN, reg_id=1, gruu=True)
ALLOW = EndpointConfig(allow=(*EndpointConfig().allow, "NOTIFY"), accept_elsewhere=("*",))


def answering(phone: PhoneAt) -> PhoneAt:
    def react(event: object) -> None:
        if isinstance(event, CallReceived):
            event.call.answer(ANSWER, now=phone.now)
        if isinstance(event, RequestReceived) and event.request.method == "NOTIFY":
            phone.endpoint.respond(event.transaction, 200, now=phone.now)

    phone.react = react
    return phone


def test_a_flow_is_kept_alive_by_stun_and_a_call_comes_over_it() -> None:
    exchange = Exchange()
    bob = answering(exchange.phone("1002"))
    registration = bob.register(wish=FLOW)
    exchange.pass_time(300)
    assert registration.terms.outbound
    assert registration.keepalives_answered == registration.keepalives_sent > 2
    alice = exchange.phone("1001")
    call = alice.call("1002")
    exchange.pass_time(1)
    assert alice.one(CallAnswered)
    call.hangup(now=alice.now)
    exchange.pass_time(40)
    assert exchange.record.ended_by == "caller"
    registration.unregister(now=bob.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_a_gruu_is_dialled_and_rings_one_phone_of_two() -> None:
    exchange = Exchange()
    desk, mobile = answering(exchange.phone("1002")), answering(exchange.phone("1002"))
    registration = desk.register(wish=FLOW)
    mobile.register()
    exchange.pass_time(1)
    alice = exchange.phone("1001")
    gruu = registration.terms.temporary_gruu or ""
    assert gruu
    alice.endpoint.invite(
        gruu,
        local=alice.identity,
        hop=alice.hop,
        now=alice.now,
        body=ANSWER,
        credentials=alice.credentials,
    )
    exchange.pass_time(2)
    assert alice.one(CallAnswered)
    assert len(desk.all(CallReceived)) == 1
    assert not mobile.all(CallReceived)


def test_calls_to_a_path_go_by_its_proxies() -> None:
    exchange = Exchange()
    bob = answering(exchange.phone("1002"))
    bob.register(headers=[("Path", "<sip:token@192.0.2.11;lr;ob>, <sip:192.0.2.12;lr>")])
    exchange.pass_time(1)
    alice = exchange.phone("1001")
    alice.call("1002")
    exchange.pass_time(1)
    invite = exchange.said(None, "INVITE", bob)[0]
    routes = [line for line in invite.text.split("\r\n") if line.startswith("Route:")]
    assert routes == ["Route: <sip:token@192.0.2.11;lr;ob>", "Route: <sip:192.0.2.12;lr>"]


def test_a_lost_connection_is_registered_anew_and_the_old_flow_is_gone() -> None:
    exchange = Exchange()
    bob = answering(exchange.phone("1002", transport=Transport.TCP))
    bob.register(wish=FLOW)
    exchange.pass_time(1)
    exchange.pbx.transport_failed(exchange.registrar.bindings("1002", bob.now)[0].hop, "lost", bob.now)
    assert not exchange.registrar.bindings("1002", bob.now)
    bob.endpoint.transport_failed(bob.hop, "lost", bob.now)
    exchange.pass_time(1)
    assert len(exchange.registrar.bindings("1002", bob.now)) == 1


def subscribe(phone: PhoneAt, number: str) -> int:
    phone.endpoint.request(
        "SUBSCRIBE",
        f"sip:{number}@{DOMAIN}",
        local=phone.identity,
        hop=phone.hop,
        now=phone.now,
        credentials=phone.credentials,
        headers=[("Event", "reg")],
    )
    phone.exchange.pass_time(0)
    return phone.all(ResponseReceived)[-1].response.status


def test_whoever_watches_an_account_hears_where_it_is_registered() -> None:
    exchange = Exchange()
    watcher = answering(exchange.phone("1002", config=ALLOW))
    assert subscribe(watcher, "1002") == 200
    desk = exchange.phone("1002")
    registration = desk.register(expires=120, wish=BindingWish(also=(Uri.parse("sip:1002@192.0.2.200"),)))
    exchange.pass_time(1)
    registration.unregister(now=desk.now)
    exchange.pass_time(1)
    bodies = [sent.text.split("\r\n\r\n", 1)[1] for sent in exchange.said(None, "NOTIFY", watcher)]
    assert 'state="init"' in bodies[0]
    assert bodies[1].count('state="active" event="registered"') == 2
    assert "<uri>sip:1002@192.0.2.200</uri>" in bodies[1]
    assert bodies[-1].count('state="terminated" event="unregistered"') >= 1
    assert [f'version="{number}"' in body for number, body in enumerate(bodies)] == [True] * len(bodies)


def test_the_registrations_of_another_are_nobodys_business() -> None:
    exchange = Exchange()
    assert subscribe(exchange.phone("1001", config=ALLOW), "1002") == 403
