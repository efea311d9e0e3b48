"""Registrations whose flow is kept (RFC 5626), with GRUUs (RFC 5627), in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip import stun
from callwright.sip.binding_wish import NO_TERMS, BindingWish, Terms, is_urn
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    Event,
    FlowFailed,
    RegistrationFailed,
    RegistrationSucceeded,
    RequestReceived,
)
from callwright.sip.headers import Headers
from callwright.sip.keepalive import pause_between
from callwright.sip.registration import Registration, RegistrationState
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import NameAddr, Uri
from tests.kit.peer import Peer
from tests.kit.wire import Sent, Wire

URN = "urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
FLOW = BindingWish(path=True, instance=URN, reg_id=1, gruu=True)


class Registrar:
    """Bob, who keeps flows and gives GRUUs; `refuses` stops that."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.refuses, self.terms = wire, False, ""
        wire.bob.react = self._react

    def _react(self, event: Event) -> None:
        if not isinstance(event, RequestReceived):
            return
        contact = event.request.headers.contact[0].with_parameter("expires", "600")
        contact = contact.with_parameter("pub-gruu", f'"sip:alice@example.com;gr={URN}"')
        headers = [("Contact", str(contact)), *([] if self.refuses else [("Require", "outbound")])]
        headers += [("Flow-Timer", self.terms)] if self.terms else []
        self.wire.bob.endpoint.respond(event.transaction, 200, now=self.wire.clock.now, headers=headers)


def wire_of(transport: Transport = Transport.UDP, *, answers: bool = True) -> tuple[Wire, Registrar]:
    bob = EndpointConfig(allow=("REGISTER", "INVITE"), answer_stun=answers)
    wire = Wire(bob=bob, transport=transport)
    return wire, Registrar(wire)


def register(wire: Wire, wish: BindingWish = FLOW) -> Registration:
    alice = wire.alice
    made = alice.endpoint.register(
        "sip:192.0.2.2", local=alice.identity, hop=alice.hop(), now=wire.clock.now, wish=wish
    )
    wire.settle()
    return made


def sent(wire: Wire, method: str = "REGISTER") -> list[Sent]:
    return wire.said(wire.alice, method)


def test_a_register_asks_for_flow_path_and_gruu() -> None:
    wire, _ = wire_of()
    registration = register(wire)
    first = sent(wire)[0]
    assert first.header("Supported") == "path, outbound, gruu"
    assert f';+sip.instance="<{URN}>";reg-id=1;expires=3600' in first.header("Contact")
    assert registration.terms == Terms(public_gruu=f"sip:alice@example.com;gr={URN}", outbound=True)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_keep_alives_are_answered_and_the_flow_lives(transport: Transport) -> None:
    wire, registrar = wire_of(transport)
    registrar.terms = "10"
    registration = register(wire)
    wire.clock.advance(100)
    assert 10 <= registration.keepalives_sent <= 12
    assert registration.keepalives_answered == registration.keepalives_sent
    assert registration.flow_failures == 0
    assert len(sent(wire)) == 1


@pytest.mark.parametrize(("transport", "most"), [(Transport.UDP, 29 + 39.5), (Transport.TCP, 120 + 10)])
def test_a_flow_that_answers_nothing_is_formed_anew_for_the_same_binding(
    transport: Transport, most: float
) -> None:
    wire, _ = wire_of(transport)
    registration = register(wire)
    wire.fate = lambda message: () if message.data[:1] < b"A" else (0.0,)  # keep-alives are lost
    wire.clock.advance(most)
    failed = wire.alice.all(FlowFailed)
    assert len(failed) == 1
    assert "did not answer a keep-alive" in failed[0].reason
    assert len(sent(wire)) == 2
    assert all("reg-id=1" in message.header("Contact") for message in sent(wire))
    assert sent(wire)[1].header("Call-ID") == sent(wire)[0].header("Call-ID")
    assert registration.state is RegistrationState.REGISTERED
    assert len(wire.alice.all(RegistrationSucceeded)) == 2


def test_another_address_behind_a_nat_forms_the_flow_anew() -> None:
    peer = Peer()
    registration = peer.endpoint.register(
        "sip:192.0.2.99",
        local=NameAddr.parse("<sip:alice@192.0.2.1>"),
        hop=peer.hop,
        now=0.0,
        wish=BindingWish(keepalive=20.0),
    )
    first = peer.listen()[0]
    peer.answer(first, 200, tag="r", extra=f"Contact: {first.header('Contact')}")
    for address in ("198.51.100.7", "198.51.100.7", "198.51.100.8"):
        peer.clock.advance(20)
        asked = next(message for message in peer.told[::-1] if stun.is_stun(message.data))
        peer.send_raw(stun.answer(asked.data, Address(address, 40_000)) or b"")
    assert "198.51.100.8:40000 instead of 198.51.100.7:40000" in peer.one(FlowFailed).reason
    assert registration.flow_failures == 1
    assert [message.start for message in peer.told if message.start == "REGISTER"] == ["REGISTER"] * 2


def test_a_lost_connection_forms_the_flow_anew_at_once() -> None:
    wire, _ = wire_of(Transport.TCP)
    register(wire)
    wire.alice.endpoint.transport_failed(wire.alice.hop(), "closed by the far end", wire.clock.now)
    wire.settle()
    assert wire.alice.one(FlowFailed).reason == "closed by the far end"
    assert len(sent(wire)) == 2


def test_attempts_to_form_a_flow_keep_ever_longer_pauses() -> None:
    wire, _ = wire_of(Transport.TCP)
    register(wire)
    wire.fate = lambda message: ()
    for seconds in (0, 70, 130):
        wire.clock.advance(seconds)
        wire.alice.endpoint.transport_failed(wire.alice.hop(), "refused", wire.clock.now)
        wire.clock.advance(0)
        wire.alice.endpoint.transport_failed(wire.alice.hop(), "refused", wire.clock.now)
    failed = [event for event in wire.alice.all(RegistrationFailed) if event.retry_at is not None]
    pauses = [(event.retry_at or 0) - event.at for event in failed]
    assert len(pauses) == 3
    assert 30 <= pauses[0] <= 60 <= pauses[1] <= 120 <= pauses[2] <= 240


def test_without_the_registrars_word_no_flow_is_kept() -> None:
    wire, registrar = wire_of()
    registrar.refuses = True
    registration = register(wire)
    wire.clock.advance(200)
    assert not registration.terms.outbound
    assert registration.keepalives_sent == 0


def test_calls_show_the_gruu_and_without_one_the_flow() -> None:
    wire, _ = wire_of()
    register(wire)
    wire.alice.invite()
    wire.settle()
    assert sent(wire, "INVITE")[0].header("Contact") == f"<sip:alice@example.com;gr={URN}>"
    other, _ = wire_of()
    register(other, BindingWish(instance=URN, reg_id=1))
    other.alice.invite()
    other.settle()
    assert sent(other, "INVITE")[0].header("Contact").endswith(";ob>")


def test_after_unregistering_neither_gruu_nor_keep_alive_is_left() -> None:
    wire, _ = wire_of()
    registration = register(wire)
    registration.unregister(now=wire.clock.now)
    wire.settle()
    count = registration.keepalives_sent
    wire.clock.advance(200)
    assert registration.keepalives_sent == count
    wire.alice.invite()
    wire.settle()
    assert "gr=" not in sent(wire, "INVITE")[0].header("Contact")


def test_a_third_party_speaks_for_another_and_further_contacts_are_bound() -> None:
    wire, _ = wire_of()
    boss = NameAddr.parse("<sip:secretary@192.0.2.2>")
    also = (Uri.parse("sip:mobile@192.0.2.77"),)
    register(wire, BindingWish(sender=boss, also=also))
    first = sent(wire)[0]
    assert first.header("From").startswith("<sip:secretary@192.0.2.2>;tag=")
    assert "alice" in first.header("To")
    assert first.header("Contact").endswith(", <sip:mobile@192.0.2.77>;expires=3600")


@pytest.mark.parametrize(
    "values",
    [
        [("Service-Route", "<sip:proxy;lr>, <tel:5>")],
        [("Service-Route", "not an address >")],
        [("Service-Route", f"<sip:{'a' * 3000}.example;lr>")],
        [("Service-Route", "<sip:p;lr>")] * 17,
        [("Flow-Timer", "0")],
        [("Flow-Timer", "99999999999999999999")],
    ],
)
def test_terms_that_cannot_be_used_are_not_there(values: list[tuple[str, str]]) -> None:
    ours = NameAddr.parse('<sip:alice@192.0.2.1>;pub-gruu="tel:1"')
    assert Terms.of(Headers(values), ours) == NO_TERMS


def test_a_flow_without_a_device_is_refused() -> None:
    with pytest.raises(ValueError, match="instance"):
        BindingWish(reg_id=1)


@pytest.mark.parametrize("text", ['urn:uuid:1">', "uuid:1", "urn:uuid:", "urn:uuid:a b", "urn:x:\r\nVia: x"])
def test_what_is_no_urn_is_no_instance(text: str) -> None:
    assert not is_urn(text)
    assert is_urn(URN)


@given(st.binary(min_size=12, max_size=12), st.ip_addresses(), st.integers(1, 65535))
def test_stun_tells_where_a_request_came_from(transaction: bytes, ip: object, port: int) -> None:
    asked = stun.request(transaction)
    assert stun.is_stun(asked)
    told = stun.answer(asked, Address(str(ip), port))
    assert told is not None
    assert stun.read(told) == stun.Mapped(transaction, Address(str(ip), port))
    assert stun.answer(told, Address("192.0.2.1", 1)) is None  # no answer to an answer, so no loop


@given(st.binary(max_size=80))
def test_any_octets_after_the_cookie_are_read_without_harm(rest: bytes) -> None:
    data = b"\x01\x01\x00" + bytes([min(255, len(rest))]) + b"\x21\x12\xa4\x42" + b"t" * 12 + rest
    stun.read(data)
    stun.answer(data, Address("192.0.2.1", 5))


def test_a_phone_answers_no_stun_and_is_not_disturbed_by_it() -> None:
    peer = Peer()
    assert peer.send_raw(stun.request(b"x" * 12)) == []
    assert peer.heard == []


def test_pauses_differ_between_phones() -> None:
    assert pause_between(100, 0) == 80
    assert pause_between(100, 255) == 100


def test_the_answer_is_hardly_longer_than_the_request() -> None:
    """So that nobody uses us to send more than they sent."""
    asked = stun.request(b"x" * 12)
    assert len(stun.answer(asked, Address("192.0.2.1", 5)) or b"") <= len(asked) + 12
    assert stun.answer(asked + b"\0" * 600, Address("192.0.2.1", 5)) is None


def test_half_a_ping_is_no_pong_where_none_is_awaited() -> None:
    wire, _ = wire_of(Transport.TCP)
    register(wire)
    hop = wire.alice.hop()
    wire.bob.endpoint.receive(b"\r\n\r\n", Hop(hop.transport, hop.remote, hop.local), wire.clock.now)
    assert wire.bob.endpoint.transmissions()[0].data == b"\r\n"
