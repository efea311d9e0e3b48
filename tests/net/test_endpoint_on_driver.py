"""The real SIP endpoint on real sockets: whole calls over loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.net.driver import Driver
from callwright.net.tls import TlsSettings
from callwright.sip import events
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr
from tests.net.certificates import Authority

OFFER = b"v=0\r\n" + b"a=filler\r\n" * 200  # over 1,300 octets: two fragments over UDP


def permitted(hop: Hop) -> PermittedHop:
    return PermittedHop(hop.transport, hop.local, hop.remote, hop.name)


class Agent:
    """An endpoint on a driver that answers whatever rings and notes what happens."""

    def __init__(self, tls: TlsSettings) -> None:
        self.endpoint = Endpoint(EndpointConfig(), os.urandom)
        self.happened: list[events.Event] = []
        self.errors: list[BaseException] = []
        self.over = asyncio.Event()
        self.driver: Driver[events.Event] = Driver(
            self.endpoint,
            handler=self._handle,
            tls=tls,
            on_error=self.errors.append,
            on_warning=lambda text: None,
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def _handle(self, event: events.Event) -> None:
        self.happened.append(event)
        match event:
            case events.CallReceived(call=call):
                call.ring(now=self.now)
                call.answer(OFFER, now=self.now)
            case events.CallAnswered(call=call):
                call.acknowledge(now=self.now)
                call.hangup(now=self.now)
            case events.CallEnded() | events.CallFailed():
                self.over.set()


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncIterator[tuple[Agent, Agent]]:
    authority = Authority(tmp_path)
    own = authority.issue("agent", addresses=["127.0.0.1", "::1"])
    settings = TlsSettings(ca=authority.ca, cert=own.cert, key=own.key)
    caller, callee = Agent(settings), Agent(settings)
    yield caller, callee
    await caller.driver.close()
    await callee.driver.close()
    assert caller.errors == []
    assert callee.errors == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", list(Transport))
async def test_a_call_is_placed_answered_and_hung_up(
    agents: tuple[Agent, Agent], transport: Transport, host: str
) -> None:
    caller, callee = agents
    address = await callee.driver.listen(transport, host)
    (hop,) = await caller.driver.locate(host, address.port, transport)
    caller.endpoint.invite(
        f"sip:callee@{address}",
        local=NameAddr.parse("<sip:caller@example.org>"),
        hop=permitted(hop),
        now=caller.now,
        body=OFFER,
    )
    caller.driver.drain()
    async with asyncio.timeout(5):
        await caller.over.wait()
        await callee.over.wait()
    told = [e for e in caller.happened if not isinstance(e, events.CallProgressed) or e.status > 100]
    assert [type(e) for e in told] == [
        events.CallProgressed,
        events.CallAnswered,
        events.CallEnded,
    ]
    assert [type(e) for e in callee.happened] == [
        events.CallReceived,
        events.CallConfirmed,
        events.CallEnded,
    ]


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_call_to_a_closed_port_fails_within_a_second_and_says_why(
    agents: tuple[Agent, Agent], transport: Transport
) -> None:
    caller, _ = agents
    kind = socket.SOCK_DGRAM if transport is Transport.UDP else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    caller.endpoint.invite(
        f"sip:callee@127.0.0.1:{port}",
        local=NameAddr.parse("<sip:caller@example.org>"),
        hop=permitted(caller.driver.hop_for("127.0.0.1", port, transport)),
        now=caller.now,
    )
    caller.driver.drain()
    async with asyncio.timeout(1):
        await caller.over.wait()
    (failed,) = caller.happened
    assert isinstance(failed, events.CallFailed)
    assert f"nothing listens on {transport} port {port} of 127.0.0.1" in failed.reason
