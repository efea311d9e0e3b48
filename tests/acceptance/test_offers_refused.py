"""An offer whose media may not go where it says is refused before it is answered, at first and in a call."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from callwright.cli.answer import permission_of_callers
from callwright.net.clock import SystemClock
from callwright.outcome.terms import CallState, Failure
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, MediaPlan, PhoneConfig

LOOPBACK, STRANGER = "127.0.0.1", "203.0.113.99"


class Caller:
    """Speaks SIP from a socket of its own; its offers name whatever host they are told."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.tag, self.cseq = target, "", 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def say(self, method: str, host: str = "", *extra: str, cseq: int = 0) -> None:
        """A request whose SDP names `host`, if any. `cseq`: of an INVITE before, for its ACK."""
        self.cseq = cseq or self.cseq + (method != "ACK")
        more = "".join(f"{line}\r\n" for line in extra)
        body = f"v=0\r\no=- 1 {self.cseq} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        body = f"{body}m=audio {self.port} RTP/AVP 0\r\n" if host else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} sip:sut@{LOOPBACK}:{self.target[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{self.port};branch=z9hG4bK{method}{self.cseq}\r\n"
            f"From: <sip:x@{LOOPBACK}>;tag=c\r\nTo: <sip:sut@{LOOPBACK}>{self.tag}\r\nCall-ID: c1\r\n"
            f"CSeq: {self.cseq} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:x@{LOOPBACK}:{self.port}>\r\n{kind}{more}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.socket.sendto(text.encode(), self.target)

    def answer(self, request: str) -> None:
        """200."""
        kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*\r\n", request, re.MULTILINE)
        text = f"SIP/2.0 200 OK\r\n{''.join(kept)}Content-Length: 0\r\n\r\n"
        self.socket.sendto(text.encode(), self.target)

    async def heard(self, pattern: str) -> re.Match[str]:
        """The next message that begins so."""
        async with asyncio.timeout(10):
            while True:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 65_536)
                found = re.match(f"{pattern}(.|\\n)*", data.decode("latin-1"))
                if found:
                    return found

    async def final(self) -> tuple[int, str]:
        """Status and text of the next final response to the last request but ACK."""
        while True:
            answer = await self.heard(r"SIP/2.0 ([2-6]\d\d)")
            if f"CSeq: {self.cseq} " in answer[0]:
                self.tag = (re.search(r"^To:.*(;tag=\S+)", answer[0], re.MULTILINE) or [""] * 2)[1]
                return int(answer[1]), answer[0]


@asynccontextmanager
async def answering(**plan: Any) -> AsyncIterator[tuple[Phone, Caller, list[IncomingCall]]]:
    async with Phone(PhoneConfig(), permission=permission_of_callers(None, ()), clock=SystemClock()) as phone:
        bound = await phone.listen(LOOPBACK, 0)
        taken: list[IncomingCall] = []
        taking = AnswerPlan(media=MediaPlan(play="silence"), answer_after=0.05)
        phone.on_call = lambda _: replace(taking, **plan)
        phone.on_incoming = taken.append
        caller = Caller((LOOPBACK, bound.port))
        try:
            yield phone, caller, taken
        finally:
            caller.socket.close()


async def test_offer_that_names_a_stranger_is_refused_before_it_rings() -> None:
    async with answering() as (_, caller, taken):
        caller.say("INVITE", STRANGER)
        status, text = await caller.final()
        assert status == 488
        assert 'Warning: 399 127.0.0.1 "media is not sent to that address"' in text
        caller.say("ACK")
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert outcome.failure is Failure.POLICY
    assert f"Add --allow-media {STRANGER} " in (outcome.failure_detail or "")
    assert not {reached.state for reached in outcome.states} & {CallState.RINGING, CallState.ANSWERED}


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_new_offer_that_names_a_stranger_is_refused_and_the_call_goes_on(host: str) -> None:
    async with answering() as (_, caller, taken):
        caller.say("INVITE", host)
        assert (await caller.final())[0] == 200
        caller.say("ACK")
        caller.say("INVITE", STRANGER)
        assert (await caller.final())[0] == 488
        caller.say("ACK")
        caller.say("INVITE", host)
        assert (await caller.final())[0] == 200
        caller.say("ACK")
        caller.say("BYE")
        assert (await caller.final())[0] == 200
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert outcome.failure is None
    assert any(f"wants media at {STRANGER}" in remark for remark in outcome.remarks)


async def test_offer_that_names_a_host_without_an_address_is_refused() -> None:
    async with answering() as (_, caller, taken):
        caller.say("INVITE", "nowhere.invalid")
        assert (await caller.final())[0] == 488
        caller.say("ACK")
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert outcome.failure is Failure.NEGOTIATION


@pytest.mark.parametrize("plan", [{}, {"ring_after": -1.0, "answer_after": 0.0}, {"early_media": True}])
@pytest.mark.parametrize("named", [STRANGER, "nowhere.invalid"])
async def test_answer_to_our_offer_is_weighed_before_our_200_where_the_caller_has_prack(
    plan: dict[str, Any], named: str
) -> None:
    """An INVITE without SDP: our offer goes in the first reliable provisional, its answer in the PRACK."""
    async with answering(**plan) as (_, caller, taken):
        caller.say("INVITE", "", "Supported: 100rel")
        ringing = (await caller.heard(r"SIP/2.0 18\d"))[0]
        assert "m=audio" in ringing
        caller.tag = (re.search(r"^To:.*(;tag=\S+)", ringing, re.MULTILINE) or [""] * 2)[1]
        rseq = (re.search(r"^RSeq: (\d+)", ringing, re.MULTILINE) or [""] * 2)[1]
        caller.say("PRACK", named, f"RAck: {rseq} 1 INVITE")
        refused = await caller.heard(r"SIP/2.0 (\d+)(?=(.|\n)*CSeq: 1 INVITE)")
        assert refused[1] == "488"
        caller.say("ACK", cseq=1)
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert not {reached.state for reached in outcome.states} & {CallState.ANSWERED, CallState.CONFIRMED}
    if named == STRANGER:
        assert 'Warning: 399 127.0.0.1 "media is not sent to that address"' in refused[0]
        assert outcome.failure is Failure.POLICY
        assert f"Add --allow-media {STRANGER} " in (outcome.failure_detail or "")
    else:
        assert outcome.failure is Failure.NEGOTIATION


async def test_answer_that_comes_in_the_ack_alone_is_refused_by_a_bye_that_says_why() -> None:
    async with answering() as (_, caller, taken):
        caller.say("INVITE")
        assert (await caller.final())[0] == 200
        caller.say("ACK", STRANGER)
        bye = (await caller.heard("BYE "))[0]
        assert 'Reason: SIP;cause=488;text="media is not sent to that address"' in bye
        caller.answer(bye)
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert outcome.failure is Failure.POLICY
    assert f"Add --allow-media {STRANGER} " in (outcome.failure_detail or "")
    assert outcome.sent is None or not outcome.sent.packets


async def test_answer_to_an_offer_within_the_call_that_names_a_stranger_ends_it() -> None:
    async with answering() as (_, caller, taken):
        caller.say("INVITE", LOOPBACK)
        assert (await caller.final())[0] == 200
        caller.say("ACK")
        caller.say("INVITE")
        status, text = await caller.final()
        assert (status, "m=audio" in text) == (200, True)
        caller.say("ACK", STRANGER)
        bye = (await caller.heard("BYE "))[0]
        assert "Reason: SIP;cause=488" in bye
        caller.answer(bye)
        outcome = await asyncio.wait_for(taken[0].finished, 10)
    assert outcome.failure is Failure.POLICY
