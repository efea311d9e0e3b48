"""Digits from phone to phone, by each way, with real audio: they come once, and by the way that was asked."""

from __future__ import annotations

import asyncio

import pytest

from callwright.outcome.call import CallOutcome
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.scenario.condition import parse_condition
from callwright.scenario.source import NOWHERE, Text


async def heard(by: str, codec: str) -> CallOutcome:
    """What the callee received of 1 5 #."""
    config = PhoneConfig(bind="127.0.0.1", rtp_ports=(42_000, 43_000), codecs=(codec,))
    async with Phone(config) as caller, Phone(config) as callee, asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        taken: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        callee.on_call = lambda _: AnswerPlan(media=MediaPlan(play="silence", detect_tones=True))

        def came(call: IncomingCall) -> None:
            call.finished.add_done_callback(lambda done: taken.set_result(done.result()))

        callee.on_incoming = came
        media = MediaPlan(play="speech", dtmf="15#", dtmf_after=0.2, dtmf_by=by)
        placed = caller.call(CallPlan(f"sip:bob@{address}", media, talk_for=1.6))
        assert (await placed.finished).dtmf_sent == "15#"
        return await taken


@pytest.mark.parametrize(
    ("by", "codec", "metric"),
    [
        ("event", "opus", "dtmf_event"),
        ("dtmf-relay", "PCMU", "dtmf_info"),
        ("dtmf", "PCMU", "dtmf_info"),
        ("inband", "PCMA", "dtmf_inband"),
        ("inband", "opus", "dtmf_inband"),
    ],
)
async def test_digits_come_by_the_way_that_was_asked_and_by_no_other(
    by: str, codec: str, metric: str
) -> None:
    outcome = await heard(by, codec)
    received = outcome.received
    ways = {
        "dtmf_event": received.dtmf_event,
        "dtmf_info": received.dtmf_info,
        "dtmf_inband": received.dtmf_inband,
    }
    assert ways == {**dict.fromkeys(ways, ""), metric: "15#"}
    assert received.dtmf == "15#"
    assert parse_condition(Text(f"{metric} = 15#", NOWHERE)).evaluate([outcome]).passed
