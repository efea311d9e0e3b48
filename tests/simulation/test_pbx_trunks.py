"""Calls to and from other SIP systems, in virtual time: rewriting, failover, rights, policy, registration."""

from __future__ import annotations

from typing import Any

import pytest

from callwright.pbx.accounts import Forwarding
from callwright.pbx.b2bua import B2buaConfig
from callwright.pbx.plan import InboundNumber, OutboundRoute, PbxPlan, Trunk
from callwright.pbx.record import TrunkChanged
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules, parse_allow
from callwright.sip.config import EndpointConfig
from callwright.sip.events import CallAnswered, CallEnded, CallFailed, CallReceived, RequestReceived
from callwright.sip.transport import Hop, Transport
from callwright.sip.uri import NameAddr
from tests.simulation.exchange import ANSWER, OFFER, PBX, Exchange, PhoneAt, account

USERS = tuple(account(user) for user in ("1001", "1002"))
FIRST = Trunk("first", "sip:carrier.example", "pbx", "secret of pbx")
SECOND = Trunk("second", "sip:other.example", caller="431000")
ABROAD = OutboundRoute("abroad", ("first", "second"), prefix="00", strip=2, prepend="+", shortest=6)
ALLOWED = Rules(targets=(parse_allow("192.0.2.0/24"),))


def exchange_of(
    *, rules: Rules = ALLOWED, open_methods: frozenset[str] = frozenset(), **plan: Any
) -> Exchange:
    plan = {"accounts": USERS, "trunks": (FIRST, SECOND), "outbound": (ABROAD,)} | plan
    config = B2buaConfig(permission=Permission(Purpose.CALL, rules), open_methods=open_methods)
    return Exchange(plan=PbxPlan(**plan), config=config)


def carrier(exchange: Exchange, trunk: str, host: str, *, allow: tuple[str, ...] = ()) -> PhoneAt:
    """The far end of a trunk, which DNS has found."""
    config = EndpointConfig(allow=(*EndpointConfig().allow, *allow))
    made = exchange.phone(f"carrier-{trunk}", host=host, config=config)
    hop = Hop(Transport.UDP, PBX, made.address)
    exchange.pbx.locate_trunk(trunk, [hop], exchange.clock.now)
    return made


def test_call_goes_out_rewritten_and_shows_the_caller() -> None:
    exchange = exchange_of()
    alice, far = exchange.phone("1001"), carrier(exchange, "first", "192.0.2.200")
    call = alice.call("0043123")
    exchange.pass_time(0)
    received = far.one(CallReceived)
    assert str(received.request.target) == "sip:+43123@carrier.example"
    assert str(received.request.headers.from_.uri) == "sip:1001@carrier.example"
    assert str(received.request.headers.to.uri) == "sip:+43123@carrier.example"
    assert "P-Asserted-Identity" not in received.request.headers
    assert received.request.body == OFFER
    received.call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(3)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(far.all(CallEnded)) == 1
    record = exchange.record
    assert (record.caller, record.callee, record.trunk, record.status) == ("1001", "0043123", "first", 200)
    exchange.assert_quiet()


@pytest.mark.parametrize("status", [500, 503])
def test_next_trunk_is_tried_when_one_fails_and_its_own_number_is_shown(status: int) -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    one, other = carrier(exchange, "first", "192.0.2.200"), carrier(exchange, "second", "192.0.2.201")
    alice.call("0043123")
    exchange.pass_time(0)
    assert not other.all(CallReceived)
    one.one(CallReceived).call.reject(status, now=exchange.clock.now)
    exchange.pass_time(0)
    assert other.one(CallReceived).request.headers.from_.uri.user == "431000"


def test_next_trunk_is_tried_when_one_is_silent() -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    one, other = carrier(exchange, "first", "192.0.2.200"), carrier(exchange, "second", "192.0.2.201")
    del exchange.phones[one.address]
    alice.call("0043123")
    exchange.pass_time(33)
    assert len(other.all(CallReceived)) == 1


@pytest.mark.parametrize("status", [404, 480, 486, 603])
def test_refusal_of_the_callee_is_final(status: int) -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    one, other = carrier(exchange, "first", "192.0.2.200"), carrier(exchange, "second", "192.0.2.201")
    alice.call("0043123")
    exchange.pass_time(0)
    one.one(CallReceived).call.reject(status, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == status
    assert not other.all(CallReceived)


@pytest.mark.parametrize(
    ("number", "rules", "status"),
    [("0043123", Rules(), 403), ("112", ALLOWED, 404), ("0123", ALLOWED, 404)],
)
def test_only_what_the_policy_and_the_routes_permit_leaves(number: str, rules: Rules, status: int) -> None:
    exchange = exchange_of(rules=rules)
    alice, far = exchange.phone("1001"), carrier(exchange, "first", "192.0.2.200")
    alice.call(number)
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == status
    assert not far.all(CallReceived)
    assert not exchange.said(None, "INVITE", far)


def test_emergency_number_is_refused_though_its_route_and_host_are_permitted() -> None:
    exchange = exchange_of(outbound=(OutboundRoute("all", ("first",)),))
    alice, far = exchange.phone("1001"), carrier(exchange, "first", "192.0.2.200")
    alice.call("112")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 403
    assert not exchange.said(None, "INVITE", far)


def test_route_of_some_users_is_for_them_alone() -> None:
    exchange = exchange_of(outbound=(OutboundRoute("some", ("first",), prefix="00", users=("1002",)),))
    alice, bob = exchange.phone("1001"), exchange.phone("1002")
    far = carrier(exchange, "first", "192.0.2.200")
    alice.call("0043123")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 404
    bob.call("0043123")
    exchange.pass_time(0)
    assert len(far.all(CallReceived)) == 1


def test_stranger_never_gets_outside_even_where_calls_need_no_password() -> None:
    exchange = exchange_of(open_methods=frozenset({"INVITE"}))
    stranger, far = exchange.phone("9999"), carrier(exchange, "first", "192.0.2.200")
    stranger.call("0043123", credentials=None)
    exchange.pass_time(0)
    assert stranger.one(CallFailed).status == 480
    assert not exchange.said(None, "INVITE", far)


def test_trunk_that_was_not_found_is_a_503() -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    alice.call("0043123")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 503


# -- inbound


LINES = (InboundNumber("+431234", "1002"), InboundNumber("431235", "0049555", "first"))


def test_call_of_a_trunk_reaches_its_number_without_a_password() -> None:
    exchange = exchange_of(inbound=LINES)
    bob, far = exchange.registered("1002"), carrier(exchange, "first", "192.0.2.200")
    far.call("431234", credentials=None)
    exchange.pass_time(0)
    bob.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    assert len(far.all(CallAnswered)) == 1
    assert (exchange.record.caller, exchange.record.trunk, exchange.record.callee) == (
        None,
        "first",
        "431234",
    )


@pytest.mark.parametrize("number", ["1002", "999", "0043123", "+431235x"])
def test_trunk_reaches_nothing_but_its_numbers(number: str) -> None:
    exchange = exchange_of(inbound=LINES)
    bob, far = exchange.registered("1002"), carrier(exchange, "second", "192.0.2.201")
    carrier(exchange, "first", "192.0.2.200")
    far.call(number, credentials=None)
    exchange.pass_time(0)
    assert far.one(CallFailed).status == 480
    assert not bob.all(CallReceived)


def test_number_of_one_trunk_is_not_anothers() -> None:
    exchange = exchange_of(inbound=LINES)
    far = carrier(exchange, "second", "192.0.2.201")
    far.call("431235", credentials=None)
    exchange.pass_time(0)
    assert far.one(CallFailed).status == 480


def test_same_number_from_an_unknown_source_is_asked_for_credentials() -> None:
    exchange = exchange_of(inbound=LINES)
    exchange.registered("1002")
    carrier(exchange, "first", "192.0.2.200")
    stranger = exchange.phone("x", host="192.0.2.222")
    stranger.call("431234", credentials=None)
    exchange.pass_time(0)
    assert stranger.one(CallFailed).status == 407


def test_source_that_is_named_belongs_to_the_trunk() -> None:
    trunk = Trunk("first", "sip:carrier.example", sources=("192.0.2.222",))
    exchange = exchange_of(inbound=LINES, trunks=(trunk, SECOND))
    bob = exchange.registered("1002")
    other_address = exchange.phone("x", host="192.0.2.222")
    other_address.call("431234", credentials=None)
    exchange.pass_time(0)
    assert len(bob.all(CallReceived)) == 1


def test_trunk_has_no_right_to_call_outside_but_whoever_forwards_has() -> None:
    users = (account("1001"), account("1002", forwarding=Forwarding(always="0049555")))
    exchange = exchange_of(accounts=users, inbound=LINES)
    far, other = carrier(exchange, "second", "192.0.2.201"), carrier(exchange, "first", "192.0.2.200")
    other.call("431235", credentials=None)  # straight to a number outside
    exchange.pass_time(0)
    assert other.one(CallFailed).status == 480
    far.call("431234", credentials=None)  # to 1002, who forwards
    exchange.pass_time(0)
    received = other.one(CallReceived)
    assert (received.request.target.user, received.request.headers.from_.uri.user) == ("+49555", "1002")


# -- registration


def test_trunk_is_told_where_we_are_again_after_a_failure_and_its_calls_name_us_in_to() -> None:
    trunk = Trunk("first", "sip:carrier.example", "pbx", "x", register=True)
    exchange = exchange_of(inbound=LINES, trunks=(trunk, SECOND))
    bob, answers = exchange.registered("1002"), [503, 200]
    config = EndpointConfig(allow=(*EndpointConfig().allow, "REGISTER"))
    far = exchange.phone("carrier", host="192.0.2.200", config=config)

    def react(event: object) -> None:
        if isinstance(event, RequestReceived):
            contact = event.request.headers.get("Contact") or ""
            headers = [("Contact", contact)]
            far.endpoint.respond(event.transaction, answers.pop(0), now=far.now, headers=headers)

    far.react = react
    exchange.pbx.locate_trunk("first", [Hop(Transport.UDP, PBX, far.address)], exchange.clock.now)
    exchange.pass_time(61)
    told = [event for event in exchange.pbx.events() if isinstance(event, TrunkChanged)]
    assert [(event.trunk, event.registered) for event in told] == [("first", False), ("first", True)]
    register = exchange.said(None, "REGISTER", far)[-1]
    assert "<sip:pbx@carrier.example>" in register.header("To")
    assert f"sip:pbx@{PBX}" in register.header("Contact")
    far.call("pbx", credentials=None, remote=NameAddr.parse("<sip:+431234@carrier.example>"))
    exchange.pass_time(0)
    assert len(bob.all(CallReceived)) == 1


TRUSTED = Trunk("first", "sip:carrier.example", "pbx", "secret of pbx", trusted=True)
HIDDEN = NameAddr.parse('"Anonymous" <sip:anonymous@anonymous.invalid>')


@pytest.mark.parametrize(
    ("trunk", "privacy", "shown", "asserted"),
    [
        (FIRST, "", "1001", None),
        (FIRST, "id", "anonymous", None),
        (TRUSTED, "", "1001", "1001"),
        (TRUSTED, "id", "1001", "1001"),
    ],
)
def test_identities_stay_in_the_trust_domain(
    trunk: Trunk, privacy: str, shown: str, asserted: str | None
) -> None:
    exchange = exchange_of(trunks=(trunk, SECOND))
    alice, far = exchange.phone("1001"), carrier(exchange, "first", "192.0.2.200")
    alice.call("0043123", headers=[("Privacy", privacy)] if privacy else [])
    exchange.pass_time(0)
    headers = far.one(CallReceived).request.headers
    assert headers.from_.uri.user == shown
    assert headers.get("Privacy") == (privacy or None)
    said = headers.get("P-Asserted-Identity")
    assert (said and NameAddr.parse(said).uri.user) == asserted
    if shown == "anonymous":
        assert "1001" not in str(headers.get("From"))


@pytest.mark.parametrize(
    ("trunk", "privacy", "asserted"), [(TRUSTED, "", "43999"), (TRUSTED, "id", None), (FIRST, "", None)]
)
def test_a_trunk_of_the_trust_domain_is_believed_about_its_caller(
    trunk: Trunk, privacy: str, asserted: str | None
) -> None:
    lines = (InboundNumber("431234", "1002", "first"),)
    exchange = exchange_of(trunks=(trunk, SECOND), inbound=lines)
    far, bob = carrier(exchange, "first", "192.0.2.200"), exchange.registered("1002")
    far.call(
        "431234",
        local=HIDDEN,
        headers=[
            ("P-Asserted-Identity", "<sip:43999@carrier.example>"),
            ("P-Asserted-Identity", "not <an address"),
            *([("Privacy", privacy)] if privacy else []),
        ],
    )
    exchange.pass_time(0)
    said = bob.one(CallReceived).request.headers.get_all("P-Asserted-Identity")
    assert [NameAddr.parse(one).uri.user for one in said] == ([asserted] if asserted else [])
