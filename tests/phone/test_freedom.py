"""Messages that are another than a phone would write them: free, but for the policy's word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.body import ExtraBody
from callwright.phone.permission import Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.policy.destination import Purpose, Rules
from callwright.sip.events import CallReceived
from callwright.sip.multipart import described

STRANGER = "203.0.113.9"
RULES = Rules(typed=("127.0.0.1",))
OPTIONS = (
    "OPTIONS [target] SIP/2.0\r\nVia: SIP/2.0/[transport] [local];branch=[branch]\r\n{extra}"
    "From: <sip:a@x.test>;tag=[tag]\r\nTo: [target]\r\nCall-ID: [call_id]\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: [len]\r\n\r\n"
)


class Pair:
    """Bob's door, and alice."""

    def __init__(self, alice: Phone, bob: Phone, door: str) -> None:
        self.alice, self.bob, self.door = alice, bob, door
        self.received: list[CallReceived] = []
        bob.on_call = self._take

    def _take(self, received: CallReceived) -> AnswerPlan:
        self.received.append(received)
        return AnswerPlan(media=MediaPlan(enabled=False))

    async def raw(self, text: str, timeout: float = 3.0) -> RequestOutcome:
        return await self.alice.raw(f"sip:bob@{self.door}", text.encode(), timeout=timeout).finished


@pytest.fixture
async def pair():  # type: ignore[no-untyped-def]
    permission = Permission(Purpose.RUN, RULES)
    async with (
        Phone(PhoneConfig(bind="127.0.0.1")) as bob,
        Phone(PhoneConfig(bind="127.0.0.1"), permission=permission) as alice,
        asyncio.timeout(20),
    ):
        yield Pair(alice, bob, str(await bob.listen("127.0.0.1", 0)))


@pytest.mark.parametrize(
    "header",
    [
        ("Contact", f"<sip:x@{STRANGER}>"),
        ("m", f"<sip:x@{STRANGER}>"),
        ("v", f"SIP/2.0/UDP {STRANGER};branch=z9hG4bKx"),
        ("Route", f"<sip:{STRANGER};lr>"),
        ("Record-Route", f"<sip:{STRANGER};lr>"),
        ("r", f"<sip:{STRANGER}>"),
    ],
)
async def test_a_header_that_leads_to_a_stranger_sends_nothing(pair: Pair, header: tuple[str, str]) -> None:
    plan = CallPlan(f"sip:bob@{pair.door}", media=MediaPlan(enabled=False), headers=(header,))
    outcome = await pair.alice.call(plan).finished
    assert outcome.failure is Failure.POLICY
    assert STRANGER in (outcome.failure_detail or "")
    assert not pair.received


async def test_a_description_that_leads_to_a_stranger_sends_nothing(pair: Pair) -> None:
    body = ExtraBody(f"v=0\r\nc=IN IP4 {STRANGER}\r\n".encode(), "application/sdp")
    outcome = await pair.alice.call(CallPlan(f"sip:bob@{pair.door}", body=body)).finished
    assert outcome.failure is Failure.POLICY
    assert not pair.received


async def test_a_body_goes_beside_the_session_description(pair: Pair) -> None:
    location = b"<presence/>"
    plan = CallPlan(
        f"sip:bob@{pair.door}",
        media=MediaPlan(enabled=False),
        body=ExtraBody(location, "application/pidf+xml"),
        headers=(("-User-Agent", ""), ("Max-Forwards", "7")),
        talk_for=0.05,
    )
    outcome = await pair.alice.call(plan).finished
    assert outcome.sip_code == 200
    request = pair.received[0].request
    assert str(request.headers.get("Content-Type")).startswith("multipart/mixed;boundary=")
    assert location in request.body
    assert described(request.headers, request.body).startswith(b"v=0")
    assert "User-Agent" not in request.headers
    assert request.headers.max_forwards == 7


async def test_a_raw_message_is_sent_as_written_and_its_answer_told(pair: Pair) -> None:
    outcome = await pair.raw(OPTIONS.format(extra="X-Odd:   1\r\n"))
    assert (outcome.method, outcome.sip_code, outcome.failure) == ("RAW", 200, None)
    assert outcome.round_trip_ms is not None


async def test_a_raw_message_that_is_wrong_is_refused_by_the_peer(pair: Pair) -> None:
    outcome = await pair.raw(OPTIONS.format(extra="").replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"))
    assert outcome.sip_code == 400


async def test_octets_that_are_no_sip_are_sent_and_nobody_answers(pair: Pair) -> None:
    outcome = await pair.raw("\x01\x02 no SIP", timeout=0.2)
    assert outcome.failure is Failure.TIMEOUT


@pytest.mark.parametrize(
    "extra",
    [
        f"Contact: <sip:x@{STRANGER}>\r\n",
        f"m:<sip:{STRANGER}>\r\n",
        f"Con tact: <sip:{STRANGER}>\r\n",
        f"v: SIP/2.0/UDP {STRANGER}\r\n",
        f"Route:\r\n <sip:{STRANGER};lr>\r\n",
        f"X-Anything: {STRANGER}\r\n",
    ],
)
async def test_a_raw_message_that_leads_to_a_stranger_is_not_sent(pair: Pair, extra: str) -> None:
    outcome = await pair.raw(OPTIONS.format(extra=extra))
    assert outcome.failure is Failure.POLICY
    assert STRANGER in (outcome.failure_detail or "")


async def test_a_raw_message_goes_to_no_stranger() -> None:
    permission = Permission(Purpose.RUN, Rules(embedded=False))
    async with Phone(PhoneConfig(bind="127.0.0.1"), permission=permission) as alice, asyncio.timeout(10):
        outcome = await alice.raw(f"sip:x@{STRANGER}", b"hello").finished
    assert outcome.failure is Failure.POLICY


def test_only_the_permission_makes_hops_for_raw_messages() -> None:
    """`send_raw` takes a PermittedHop, as every verb that sends."""
    source = (Path(__file__).parents[2] / "src/callwright/sip/endpoint.py").read_text()
    assert "self, data: bytes, hop: PermittedHop, answered" in source
