"""Slots of monitors over loopback, by the probes that an agent really has."""

from __future__ import annotations

import asyncio
import socket

import pytest

from callwright.agent.measuring import Measurer, figures_of, state_of, uri_of
from callwright.dispatch.messages.monitors import Monitor
from callwright.dispatch.messages.runs import JobPolicy
from callwright.outcome.terms import Verdict
from callwright.pbx.embedded import embedded_pbx
from callwright.phone.permission import Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, MediaPlan, PhoneConfig
from callwright.policy.destination import Purpose, Rules
from callwright.probe.result import ProbeResult, State
from callwright.sip.transport import Transport


@pytest.fixture
def measurer() -> Measurer:
    return Measurer(worded=lambda remedy: "")


async def measured(measurer: Measurer, monitor: Monitor) -> ProbeResult:
    return await measurer(monitor, asyncio.Event())


@pytest.mark.parametrize(
    ("monitor", "uri"),
    [
        (Monitor(1, "sip", "pbx.example.com", 60), "sip:pbx.example.com"),
        (Monitor(1, "sip", "pbx.example.com", 60, port=5080), "sip:pbx.example.com:5080"),
        (Monitor(1, "sip", "2001:db8::1", 60), "sip:[2001:db8::1]"),
        (Monitor(1, "sip", "2001:db8::1", 60, port=5080), "sip:[2001:db8::1]:5080"),
        (Monitor(1, "call", "sip:echo@pbx.example.com;transport=tls", 60, port=9), None),
    ],
)
def test_a_target_is_a_host_or_a_uri(monitor: Monitor, uri: str | None) -> None:
    assert uri_of(monitor) == (uri or monitor.target)


async def test_a_call_is_measured_in_both_directions(measurer: Measurer) -> None:
    config = PhoneConfig(bind="127.0.0.1")
    async with Phone(config, permission=Permission(Purpose.RUN, Rules())) as echo:
        echo.on_call = lambda event: AnswerPlan(media=MediaPlan(play="echo"))
        bound = await echo.listen("127.0.0.1", 0)
        monitor = Monitor(1, "call", f"sip:echo@{bound}", 60, seconds=2.0)
        found = await measured(measurer, monitor)
    assert (state_of(found), found.sip_code) == (State.DONE, 200)
    assert found.verdict in (Verdict.PASSED, Verdict.INVALID)
    assert found.setup_ms is not None
    assert found.back is not None
    assert (found.received or 0) > 60
    assert found.back.lost == 0


async def test_a_call_that_is_refused_failed_with_the_code(measurer: Measurer) -> None:
    config = PhoneConfig(bind="127.0.0.1")
    async with Phone(config, permission=Permission(Purpose.RUN, Rules())) as busy:
        busy.on_call = lambda event: AnswerPlan(reject=486)
        bound = await busy.listen("127.0.0.1", 0)
        found = await measured(measurer, Monitor(1, "call", f"sip:x@{bound}", 60))
    assert (state_of(found), found.sip_code, found.verdict) == (State.FAILED, 486, Verdict.FAILED)
    assert figures_of(found)["sip_code"] == 486


async def test_a_call_that_is_stopped_is_hung_up_and_missed(measurer: Measurer) -> None:
    config = PhoneConfig(bind="127.0.0.1")
    stop = asyncio.Event()
    async with Phone(config, permission=Permission(Purpose.RUN, Rules())) as echo:
        echo.on_call = lambda event: AnswerPlan(media=MediaPlan(play="echo"))
        bound = await echo.listen("127.0.0.1", 0)
        asyncio.get_running_loop().call_later(0.5, stop.set)
        found = await measurer(Monitor(1, "call", f"sip:echo@{bound}", 60, seconds=30.0), stop)
        assert echo.calls == []
    assert state_of(found) is State.MISSED


async def test_a_registration_is_measured_and_taken_back(measurer: Measurer) -> None:
    async with embedded_pbx({"1001": "secret"}, Transport.UDP, None) as (address, _):
        target = f"sip:{address}"
        policy = JobPolicy(own=((address.host, address.port),))
        right = Monitor(
            1, "register", target, 60, credentials={"user": "1001", "password": "secret"}, policy=policy
        )
        wrong = Monitor(
            1, "register", target, 60, credentials={"user": "1001", "password": "no"}, policy=policy
        )
        good, bad = await measured(measurer, right), await measured(measurer, wrong)
    assert (state_of(good), good.sip_code) == (State.DONE, 200)
    assert (good.setup_ms or 0) > 0
    assert state_of(bad) is State.FAILED
    assert bad.sip_code in (401, 403)


async def test_a_registration_without_an_account_is_not_measured(measurer: Measurer) -> None:
    found = await measured(measurer, Monitor(1, "register", "sip:127.0.0.1", 60))
    assert (state_of(found), found.reason) == (
        State.MISSED,
        "The monitor cannot be measured: it has no credentials",
    )


async def test_what_a_monitor_may_not_reach_is_missed_whatever_its_category(measurer: Measurer) -> None:
    for category in ("ping", "udp", "sip", "call", "register"):
        monitor = Monitor(1, category, "198.51.100.7", 60, credentials={"user": "u", "password": "p"})
        found = await measured(measurer, monitor)
        assert (category, state_of(found), found.failure) == (category, State.MISSED, "policy")


async def test_an_unknown_category_is_missed(measurer: Measurer) -> None:
    found = await measured(measurer, Monitor(1, "telepathy", "127.0.0.1", 60))
    assert state_of(found) is State.MISSED
    assert "no category 'telepathy'" in found.reason


async def test_a_train_that_nobody_answers_failed_with_a_mos_of_1(measurer: Measurer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        monitor = Monitor(
            1, "udp", "127.0.0.1", 60, port=silent.getsockname()[1], packets=2, interpacket_ms=20
        )
        found = await measured(measurer, monitor)
    assert (state_of(found), found.mos, found.lost) == (State.FAILED, 1.0, 2)
