"""The way that a registrar wants requests to take (RFC 3608): taken as far as the policy permits it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from callwright.net.driver import Driver
from callwright.net.entropy import system_entropy
from callwright.outcome.judgement import judge_registration
from callwright.outcome.request import RegistrationOutcome
from callwright.phone.permission import Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, PhoneConfig
from callwright.policy.destination import Purpose, Rules
from callwright.sip.endpoint import Endpoint, EndpointConfig
from callwright.sip.events import Event, RequestReceived
from callwright.sip.transport import Transport


class Proxy:
    """A registrar that names routes, and takes whatever comes; `heard` are the requests."""

    def __init__(self) -> None:
        self.routes: list[str] = []
        self.heard: list[RequestReceived] = []
        config = EndpointConfig(allow=("REGISTER", "MESSAGE", "OPTIONS"), answer_options=False)
        self.endpoint = Endpoint(config, system_entropy)
        self.driver: Driver[Event] = Driver(self.endpoint, handler=self._on_event)
        self.port = 0

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, RequestReceived):
            return
        self.heard.append(event)
        headers = []
        if event.request.method == "REGISTER":
            headers = [("Contact", value) for value in event.request.headers.get_all("contact")]
            headers += [("Service-Route", route.format(port=self.port)) for route in self.routes]
        self.endpoint.respond(event.transaction, 200, now=event.at, headers=headers)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    async with made.driver:
        made.port = (await made.driver.listen(Transport.UDP, "127.0.0.1")).port
        yield made


async def registered(proxy: Proxy, *routes: str) -> tuple[RegistrationOutcome, list[str]]:
    """The registration, and the Route values of a MESSAGE after it."""
    proxy.routes = list(routes)
    permission = Permission(Purpose.CALL, Rules(typed=("127.0.0.1",)))
    account = Account("1001")
    async with Phone(PhoneConfig(bind="127.0.0.1", user="1001"), permission=permission) as phone:
        registration = phone.register(f"sip:127.0.0.1:{proxy.port}", account=account)
        async with asyncio.timeout(10):
            assert await registration.first
            sent = phone.request("MESSAGE", f"sip:1002@127.0.0.1:{proxy.port}", account=account, body=b"x")
            await sent.finished
        return registration.outcome(), proxy.heard[-1].request.headers.get_all("route")


async def test_requests_of_the_user_take_the_service_route(proxy: Proxy) -> None:
    outcome, routes = await registered(proxy, "<sip:orig@127.0.0.1:{port};lr>")
    assert routes == [f"<sip:orig@127.0.0.1:{proxy.port};lr>"]
    assert outcome.service_route == tuple(routes)
    assert outcome.service_route_refused is None


@pytest.mark.parametrize("place", ["second", "first"])
async def test_a_service_route_to_a_stranger_is_not_taken_and_the_result_says_so(
    proxy: Proxy, place: str
) -> None:
    ours, stranger = "<sip:127.0.0.1:{port};lr>", "<sip:169.254.169.254;lr>"
    both = (ours, stranger) if place == "second" else (stranger, ours)
    outcome, routes = await registered(proxy, *both)
    assert routes == []
    assert "169.254.169.254" in (outcome.service_route_refused or "")
    assert "169.254.169.254" in judge_registration(outcome)[2]


async def test_further_contacts_need_the_policys_word(proxy: Proxy) -> None:
    permission = Permission(Purpose.RUN, Rules(typed=("127.0.0.1",), embedded=False))
    async with Phone(PhoneConfig(bind="127.0.0.1"), permission=permission) as phone:
        registration = phone.register(
            f"sip:127.0.0.1:{proxy.port}", account=Account("1001"), also=("sip:x@198.51.100.9",)
        )
        assert not await registration.first
    assert registration.outcome().failure == "policy"
    assert not proxy.heard
