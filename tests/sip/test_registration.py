from __future__ import annotations

import pytest

from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.digest_server import DigestServer, Verdict
from callwright.sip.events import (
    Event,
    FailureCause,
    RegistrationExpired,
    RegistrationFailed,
    RegistrationRemoved,
    RegistrationSucceeded,
    RequestReceived,
)
from callwright.sip.registration import Registration, RegistrationState
from callwright.sip.uri import NameAddr
from tests.kit.peer import LOCAL, Peer
from tests.kit.wire import Wire, seeded_entropy

REGISTRAR = EndpointConfig(allow=("REGISTER", "OPTIONS"))


class Registrar:
    """Bob as a registrar that grants what the test says."""

    def __init__(self, wire: Wire, grant: int = 60, minimum: int = 0, password: str | None = None) -> None:
        self.wire = wire
        self.grant = grant
        self.minimum = minimum
        self.password = password
        self.refuse: int | None = None
        self.others = ""
        self.contacts: list[str] | None = None
        self.server = DigestServer("test", seeded_entropy(5), lifetime=100)
        wire.bob.react = self.react

    def react(self, event: Event) -> None:
        if not isinstance(event, RequestReceived):
            return
        bob, now, transaction = self.wire.bob.endpoint, self.wire.clock.now, event.transaction
        if self.refuse is not None:
            bob.respond(transaction, self.refuse, now=now)
            return
        if self.password is not None:
            judgement = bob.verify(transaction, self.server, lambda user: self.password, now=now)
            if judgement.verdict is not Verdict.ACCEPTED:
                bob.challenge(transaction, self.server, now=now, stale=judgement.verdict is Verdict.STALE)
                return
        wanted = int(event.request.headers.get("Expires") or 0)
        if 0 < wanted < self.minimum:
            bob.respond(transaction, 423, now=now, headers=[("Min-Expires", str(self.minimum))])
            return
        granted = min(wanted, self.grant) if not self.minimum else wanted
        contact = event.request.headers.contact[0].with_parameter("expires", str(granted))
        headers = [("Contact", self.others + str(contact))] if wanted else []
        if self.contacts is not None:
            ours = f"<{event.request.headers.contact[0].uri}>"
            headers = [("Contact", text.format(ours=ours)) for text in self.contacts]
        bob.respond(transaction, 200, now=now, headers=headers)


def register(wire: Wire, *, expires: int = 3600, password: str | None = None) -> Registration:
    alice = wire.alice
    registration = alice.endpoint.register(
        "sip:192.0.2.2",
        local=alice.identity,
        hop=alice.hop(),
        now=wire.clock.now,
        expires=expires,
        credentials=Credentials("alice", password) if password else None,
    )
    wire.settle()
    return registration


def test_a_registration_is_refreshed_at_half_of_what_was_granted() -> None:
    wire = Wire(bob=REGISTRAR)
    registrar = Registrar(wire, grant=60)
    registrar.others = "<sip:other@192.0.2.50>;expires=7, "
    registration = register(wire)
    assert wire.alice.one(RegistrationSucceeded).expires == 60
    assert len(wire.alice.one(RegistrationSucceeded).contacts) == 2
    start = wire.clock.now
    wire.clock.advance(100)
    sent = wire.said(wire.alice, "REGISTER")
    assert [message.at - start for message in sent] == [0, 30, 60, 90]
    assert [message.header("CSeq").split()[0] for message in sent] == ["1", "2", "3", "4"]
    assert len({message.header("Call-ID") for message in sent}) == 1
    assert registration.state is RegistrationState.REGISTERED


def test_unregistering_removes_the_binding_and_ends() -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire)
    registration = register(wire)
    assert registration.unregister(now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(RegistrationRemoved).registration is registration
    assert wire.said(wire.alice, "REGISTER")[-1].header("Expires") == "0"
    assert "expires=0" in wire.said(wire.alice, "REGISTER")[-1].header("Contact")
    wire.clock.advance(200)
    assert len(wire.said(wire.alice, "REGISTER")) == 2
    assert not registration.unregister(now=wire.clock.now)


def test_423_is_met_with_the_registrars_minimum() -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire, minimum=120)
    register(wire, expires=60)
    assert wire.alice.one(RegistrationSucceeded).expires == 120


def test_digest_is_answered_and_the_nonce_used_again_until_it_is_stale() -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire, grant=60, password="secret")
    register(wire, password="secret")
    wire.clock.advance(130)
    sent = [message.header("Authorization") for message in wire.said(wire.alice, "REGISTER")]
    counts = [text.partition("nc=")[2][:8] for text in sent]
    # refreshed with the same nonce at 30, 60, 90; stale at 120, answered with a new one
    assert counts == ["", "00000001", "00000002", "00000003", "00000004", "00000005", "00000001"]
    assert len(wire.alice.all(RegistrationSucceeded)) == 5


@pytest.mark.parametrize("password", ["wrong", None])
def test_wrong_or_no_credentials_fail_with_the_code(password: str | None) -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire, password="secret")
    registration = register(wire, password=password)
    failed = wire.alice.one(RegistrationFailed)
    assert (failed.status, failed.cause) == (401, FailureCause.UNAUTHORIZED)
    assert registration.state is RegistrationState.ENDED
    wire.clock.advance(300)
    assert wire.alice.endpoint.next_wake() is None


@pytest.mark.parametrize(
    ("contacts", "said"),
    [
        (["{ours};expires=0"], "it granted our binding for 0 s"),
        (["{ours};expires=0", "<sip:alice@192.0.2.9:4000>;expires=300"], "it granted our binding for 0 s"),
        (["<sip:alice@192.0.2.9:4000>;expires=300"], "it lists sip:alice@192.0.2.9:4000 and not our sip:"),
        (["<sip:bob@192.0.2.1:5060>;expires=300"], "it lists sip:bob@192.0.2.1:5060 and not our sip:"),
        ([], "it lists no bindings, not even our sip:"),
    ],
)
def test_a_200_that_leaves_us_without_a_binding_is_no_registration(contacts: list[str], said: str) -> None:
    wire = Wire(bob=REGISTRAR)
    registrar = Registrar(wire)
    registrar.contacts = contacts
    registration = register(wire)
    failed = wire.alice.one(RegistrationFailed)
    assert (failed.status, failed.cause) == (200, FailureCause.NOT_BOUND)
    assert failed.reason.startswith(said)
    assert registration.state is RegistrationState.ENDED
    wire.clock.advance(300)
    assert len(wire.said(wire.alice, "REGISTER")) == 1
    assert wire.alice.endpoint.next_wake() is None


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:alice@192.0.2.1>;expires=50",
        "<sip:alice@192.0.2.1:5060;transport=udp;ob>;expires=50",
        "<sip:%61lice@192.0.2.1:5060>;expires=50",
    ],
)
def test_our_binding_is_known_by_its_user_and_place(contact: str) -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire).contacts = ["<sip:alice@192.0.2.9>;expires=10", contact]
    register(wire)
    assert wire.alice.one(RegistrationSucceeded).expires == 50


def test_a_binding_that_a_helper_against_nat_rewrote_is_ours() -> None:
    peer = Peer()
    peer.endpoint.register("sip:192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)
    sent = peer.listen()[0]
    via = sent.header("Via").replace(";rport", ";received=203.0.113.5;rport=61000")
    answer = "SIP/2.0 200 OK\n" + "".join(
        f"{name}: {via if name == 'Via' else sent.header(name)}\n"
        for name in ("Via", "From", "To", "Call-ID", "CSeq")
    )
    user = NameAddr.parse(sent.header("Contact")).uri.user
    peer.send(answer + f"Contact: <sip:{user}@203.0.113.5:61000>;expires=70\n\n")
    assert peer.one(RegistrationSucceeded).expires == 70


def test_a_refresh_that_is_granted_for_0_s_ends_the_registration() -> None:
    wire = Wire(bob=REGISTRAR)
    registrar = Registrar(wire)
    register(wire)
    registrar.contacts = ["{ours};expires=0"]
    wire.clock.advance(31)
    assert wire.alice.one(RegistrationFailed).cause is FailureCause.NOT_BOUND


def test_a_refusal_fails_with_its_code() -> None:
    wire = Wire(bob=REGISTRAR)
    Registrar(wire).refuse = 403
    register(wire)
    assert wire.alice.one(RegistrationFailed).status == 403


def test_a_registrar_that_is_silent_fails_after_32_seconds() -> None:
    wire = Wire(bob=REGISTRAR, fate=lambda sent: ())
    alice = wire.alice
    alice.endpoint.register("sip:192.0.2.2", local=alice.identity, hop=alice.hop(), now=wire.clock.now)
    wire.clock.advance(33)
    failed = alice.one(RegistrationFailed)
    assert failed.cause is FailureCause.TIMED_OUT
    assert "192.0.2.2:5060" in failed.reason


def test_a_refresh_that_fails_is_tried_again_while_the_binding_lives_and_then_it_expires() -> None:
    wire = Wire(bob=REGISTRAR)
    registrar = Registrar(wire, grant=100)
    registration = register(wire)
    registrar.refuse = 503
    wire.clock.advance(51)
    failed = wire.alice.one(RegistrationFailed)
    assert failed.retry_at is not None
    wire.clock.advance(50)
    assert wire.alice.one(RegistrationExpired).registration is registration
    assert registration.state is RegistrationState.ENDED


def test_a_registrar_that_comes_back_is_registered_at_again() -> None:
    wire = Wire(bob=REGISTRAR)
    registrar = Registrar(wire, grant=100)
    register(wire)
    registrar.refuse = 503
    wire.clock.advance(51)
    registrar.refuse = None
    wire.clock.advance(30)
    assert len(wire.alice.all(RegistrationSucceeded)) == 2


def test_our_contact_bears_the_advertised_address() -> None:
    wire = Wire(alice=EndpointConfig(advertise_host="203.0.113.9", advertise_port=6060), bob=REGISTRAR)
    Registrar(wire)
    register(wire)
    sent = wire.said(wire.alice, "REGISTER")[0]
    assert "sip:alice@203.0.113.9:6060" in sent.header("Contact")
    assert "203.0.113.9:6060" in sent.header("Via")
