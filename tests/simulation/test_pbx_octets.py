"""Phones whose messages hold octets that are not UTF-8, wherever a phone chooses the text."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from callwright.control.cdrs.legs import legs_of
from callwright.control.cdrs.live import row_of
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.dispatch.messages.wire import decode, encode
from callwright.pbx.kept import KeptBindings
from callwright.pbx.news import news_of
from callwright.pbx.record import CallEvent
from callwright.pbx.registrar import Change, ChangeKind
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Transmission
from callwright.sip.events import RequestReceived
from callwright.sip.transport import Hop
from callwright.sip.uri import NameAddr, Uri
from tests.simulation.exchange import DOMAIN, PBX, Exchange, PhoneAt, talk, wall_at
from tests.simulation.test_pbx_watching import subscribe

_TOKENS = re.compile(rb"(?:;tag=|Call-ID: |branch=z9hG4bK|;gr=)([^\r\n;>@,\"]+)")
_LATIN_1 = b"\xe9"


class OddWire:
    """Between a phone and the exchange: tags, Call-IDs and branches of the phone begin with an octet that is
    not UTF-8, and its names hold one."""

    def __init__(self, phone: PhoneAt) -> None:
        endpoint = phone.endpoint
        self._ours: set[bytes] = set()
        self._theirs: set[bytes] = set()
        self._receive, self._send = endpoint.receive, endpoint.transmissions
        endpoint.receive = self.receive  # type: ignore[method-assign]
        endpoint.transmissions = self.transmissions  # type: ignore[method-assign]

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        for token in self._ours:
            data = data.replace(_LATIN_1 + token, token)
        self._theirs.update(_TOKENS.findall(data))
        self._receive(data, hop, now)

    def transmissions(self) -> list[Transmission]:
        return [Transmission(self._odd(data), hop) for data, hop in self._send()]

    def _odd(self, data: bytes) -> bytes:
        self._ours.update(set(_TOKENS.findall(data)) - self._theirs)
        for token in self._ours:
            data = data.replace(token, _LATIN_1 + token)
        return data.replace(b"Andre", b"Andr" + _LATIN_1)


def odd_phone(exchange: Exchange, user: str) -> PhoneAt:
    config = EndpointConfig(
        user_agent="Phone of Andre", allow=(*EndpointConfig().allow, "NOTIFY"), accept_elsewhere=("*",)
    )
    phone = exchange.phone(user, config=config)
    phone.identity = NameAddr.parse(f'"Andre" <sip:{user}@{DOMAIN}>')
    OddWire(phone)
    phone.register(contact=Uri.parse(f"sip:%E9{user}@{phone.address}"))
    exchange.pass_time(0)
    return phone


def watching(phone: PhoneAt) -> PhoneAt:
    def react(event: object) -> None:
        if isinstance(event, RequestReceived):
            phone.endpoint.respond(event.transaction, 200, now=phone.now)

    phone.react = react
    return phone


def test_a_pbx_serves_phones_whose_octets_are_not_utf8(tmp_path: Path) -> None:
    exchange = Exchange()
    alice, bob = odd_phone(exchange, "1001"), odd_phone(exchange, "1002")
    carol = watching(odd_phone(exchange, "1003"))
    bindings = [one for user in ("1001", "1002") for one in exchange.registrar.bindings(user, 0.0)]
    assert [one.call_id[0] for one in bindings] == ["\udce9"] * 2
    for number, event in (("1001", "dialog"), ("1001", "presence"), ("1002", "dialog"), ("1003", "reg")):
        subscribe(carol, number, event)

    talk(exchange, alice, bob, rings=1)
    exchange.pass_time(40)
    exchange.assert_quiet()

    notified = [sent for sent in exchange.log if sent.start == "NOTIFY" and sent.hop.local == PBX]
    bodies = [sent.data.partition(b"\r\n\r\n")[2] for sent in notified]
    assert len([ElementTree.fromstring(body) for body in bodies if body]) > 6
    news = [news_of(event) for event in exchange.pbx.events() if isinstance(event, CallEvent)]
    assert [one.step for one in news] == list(CallStep)
    assert [decode(CallNews, encode(one)) for one in news] == news
    last = news[-1]
    assert (last.caller_agent, last.legs[0].agent) == ("Phone of Andr\ufffd",) * 2
    assert last.call_id.startswith("\ufffd")
    for leg in legs_of(last, {}):
        assert str(leg).encode()
    assert str(row_of(last, False, {}, 0.0)).encode()

    kept = KeptBindings(tmp_path / "registrations", wall_at)
    kept.open(0.0)
    kept.note(Change(ChangeKind.ADDED, one) for one in bindings)
    kept.close()
    again = KeptBindings(tmp_path / "registrations", wall_at).open(0.0)
    assert [str(one.contact) for one in again] == [str(one.contact) for one in bindings]


@pytest.mark.parametrize("number", ["%E9", "10%0002", "%ED%B3%A9"])
def test_a_number_that_is_no_text_is_told_as_one(number: str) -> None:
    exchange = Exchange()
    exchange.phone("1001").call(number)
    exchange.pass_time(0)
    (news,) = [news_of(event) for event in exchange.pbx.events() if isinstance(event, CallEvent)]
    assert (news.step, news.status) == (CallStep.ENDED, 404)
    assert b"\\u0000" not in encode(news)
    assert "\ufffd" in (news.callee or "")
