"""All times of a run are of one calendar, whatever somebody does to the machine's clock meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.agent.runner import Runner
from callwright.net.clock import ManualClock, SteadyClock, SystemClock
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules
from callwright.scenario import event
from callwright.scenario.document import load

DOCUMENT = """
name: pings
target: 127.0.0.1:{port}
parties: {{alice: {{user: alice}}}}
steps:
  - - options: {{party: alice}}
  - - options: {{party: alice}}
"""


class SetClock(SystemClock):
    """Somebody sets its calendar."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = 0.0

    def wall(self) -> float:
        return super().wall() + self.step


class Alive(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        lines = data.decode().split("\r\n")
        kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        self.transport.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, "", ""]).encode(), addr)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_nothing_of_a_run_begins_before_it_or_ends_after_it(step: float) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Alive, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    clock = SetClock()

    def on_event(what: event.Event) -> None:
        if isinstance(what, event.RequestDone):
            clock.step = step

    runner = Runner(
        load(DOCUMENT.format(port=port), environment={}),
        permission=Permission(Purpose.RUN, Rules()),
        clock=clock,
        on_event=on_event,
    )
    before = clock.now()
    outcome = await runner.run()
    passed = clock.now() - before
    transport.close()
    assert outcome.started_at is not None
    assert outcome.stopped_at is not None
    assert 0 <= outcome.stopped_at - outcome.started_at <= passed
    for request in outcome.requests:
        assert request.sip_code == 200
        assert request.started_at is not None
        assert outcome.started_at <= request.started_at <= outcome.stopped_at


def test_a_steady_clock_goes_on_from_where_its_clock_was() -> None:
    machine = ManualClock()
    steady = SteadyClock(machine)
    assert (steady.now(), steady.wall()) == (machine.now(), machine.wall())
    machine.advance(5)
    assert (steady.now(), steady.wall()) == (machine.now(), machine.wall())
