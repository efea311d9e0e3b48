"""Calls of a phone with peers that do what real gear does: what it understands, keeps, and says of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from callwright.net.entropy import system_entropy
from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call, judge_registration, judge_request
from callwright.outcome.terms import CallState, EndedBy, Failure, Verdict
from callwright.phone.failures import failure_of
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.scenario.condition import parse_condition
from callwright.scenario.source import NOWHERE, Text
from callwright.sip.events import FailureCause
from callwright.sip.transport import Address, Hop, Transport

QUIET = MediaPlan(enabled=False)
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


class Gateway(asyncio.DatagramProtocol):
    """The far end, which a test scripts: `react(text)` gives what it says to each message."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.react: Callable[[str], Sequence[bytes]] = lambda _: ()
        self.port = 0
        self.source: Any = None
        self._arrived = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, source: Any) -> None:
        text = data.decode("utf-8", "replace")
        self.source = source
        self.heard.append(text)
        self._arrived.set()
        for answer in self.react(text):
            self.say(answer)

    def say(self, data: bytes, to: Any = None) -> None:
        self.transport.sendto(data, to or self.source)

    async def until(self, start: str) -> str:
        """The latest message that begins so, once there is one."""
        async with asyncio.timeout(10):
            while True:
                found = [text for text in self.heard if text.startswith(start)]
                if found:
                    return found[-1]
                self._arrived.clear()
                await self._arrived.wait()

    @property
    def contact(self) -> str:
        return f"Contact: <sip:far@127.0.0.1:{self.port}>"

    def answer(self, request: str, status: str, *extra: str, body: str = "") -> bytes:
        lines = [f"SIP/2.0 {status}"]
        lines += re.findall(r"^(?:Via|From|Call-ID|CSeq): .*?(?=\r)", request, re.M)
        to = header(request, "To")
        lines += [
            f"To: {to}" if "tag=" in to else f"To: {to};tag=far",
            *extra,
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def answers(self, *extra: str, body: str = SDP, bye: str = "200 OK") -> Callable[[str], Sequence[bytes]]:
        """200 to INVITE with that, `bye` to BYE, 200 to all else."""

        def react(text: str) -> Sequence[bytes]:
            method = text.partition(" ")[0]
            if method in ("ACK", "SIP/2.0"):
                return ()
            if method == "INVITE":
                return [self.answer(text, "200 OK", *(extra or (self.contact,)), body=body)]
            challenge = ['Proxy-Authenticate: Digest realm="r", nonce="n"'] if bye[0] == "4" else []
            if method == "BYE" and "Proxy-Authorization" not in text:
                return [self.answer(text, bye, *challenge)]
            return [self.answer(text, "200 OK")]

        return react

    def inside(self, invite: str, method: str, cseq: int, *extra: str, body: str = "") -> bytes:
        """A request of ours within the call that `invite` made from the other side."""
        target = header(invite, "Contact").strip("<>")
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bKfar{cseq}",
            "Max-Forwards: 70",
            f"From: {header(invite, 'To')};tag=far",
            f"To: {header(invite, 'From')}",
            f"Call-ID: {header(invite, 'Call-ID')}",
            f"CSeq: {cseq} {method}",
            self.contact,
            *(["Content-Type: application/sdp"] if body else []),
            *extra,
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r", text, re.M)
    assert found is not None, f"no {name} in {text}"
    return found[1]


def multipart(sdp: str, handling: str = "optional") -> tuple[str, str]:
    """Content-Type line and body: ISUP first, as some gateways have it."""
    isup = f"Content-Type: application/isup\r\nContent-Disposition: signal; handling={handling}\r\n\r\n\t\x01"
    body = f"--u-1\r\n{isup}\r\n--u-1\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--u-1--\r\n"
    return 'Content-Type: multipart/mixed;boundary="u-1"', body


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Gateway, local_addr=("127.0.0.1", 0)
    )
    yield protocol
    transport.close()


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    async with Phone(PhoneConfig(bind="127.0.0.1"), entropy=system_entropy) as made:
        yield made


async def called(phone: Phone, gateway: Gateway, user: str = "far", **plan: Any) -> CallOutcome:
    plan.setdefault("talk_for", 0.05)
    plan.setdefault("media", QUIET)
    placed = phone.call(CallPlan(f"sip:{user}@127.0.0.1:{gateway.port}", **plan))
    async with asyncio.timeout(20):
        return await placed.finished


# -- what is understood


@pytest.mark.parametrize("handling", ["optional", "required"])
async def test_the_description_of_a_multipart_answer_is_used(
    phone: Phone, gateway: Gateway, handling: str
) -> None:
    kind, body = multipart(SDP, handling)
    gateway.react = gateway.answers(gateway.contact, kind, body=body)
    outcome = await called(phone, gateway)
    assert (outcome.failure, outcome.codec) == (None, "PCMU")
    demanded = [remark for remark in outcome.remarks if "application/isup" in remark]
    assert len(demanded) == (1 if handling == "required" else 0)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("m=video 0 RTP/AVP", "names no format"),
        ("m=video 4000 RTP/AVP 255", "the payload type 255"),
        ("a=", "an attribute has no name"),
        ("a=rtpmap:96", "a=rtpmap:'96'"),
        ("m=foo 9 TCP/BAR", "names no format"),
        ("no line", "'no line'"),
    ],
)
async def test_an_odd_line_costs_a_remark(phone: Phone, gateway: Gateway, odd: str, said: str) -> None:
    gateway.react = gateway.answers(body=f"{SDP}{odd}\r\n")
    outcome = await called(phone, gateway)
    assert (outcome.failure, outcome.codec) == (None, "PCMU")
    assert any(said in remark and "SDP line 7" in remark for remark in outcome.remarks)


async def test_an_answer_without_contact_is_worth_a_remark(phone: Phone, gateway: Gateway) -> None:
    gateway.react = gateway.answers("Server: x")
    outcome = await called(phone, gateway)
    assert outcome.failure is None
    assert [text.partition(" ")[0] for text in gateway.heard] == ["INVITE", "ACK", "BYE"]
    assert ["Contact" in remark for remark in outcome.remarks] == [True]


@pytest.mark.parametrize(
    ("user", "sent"),
    [("*21#", "*21%23"), ("#7000", "%237000"), ("**7", "**7"), ("71%2323", "71%2323")],
)
async def test_what_people_dial_leaves_as_the_grammar_has_it(
    phone: Phone, gateway: Gateway, user: str, sent: str
) -> None:
    gateway.react = gateway.answers()
    outcome = await called(phone, gateway, user, caller=f"sip:{user}@example.com")
    invite = await gateway.until("INVITE")
    assert invite.startswith(f"INVITE sip:{sent}@127.0.0.1:{gateway.port} ")
    assert [f"sip:{sent}@" in header(invite, name) for name in ("From", "To")] == [True, True]
    assert outcome.destination is not None
    assert f"sip:{user}@" in outcome.destination, "shown as it was typed"


# -- what is kept


async def test_every_request_inside_the_call_is_kept_with_its_headers(phone: Phone, gateway: Gateway) -> None:
    gateway.react = gateway.answers()
    placed = phone.call(CallPlan(f"sip:far@127.0.0.1:{gateway.port}", media=QUIET, talk_for=None))
    await gateway.until("ACK")
    invite = await gateway.until("INVITE")
    for cseq, (method, body) in enumerate(
        [("INFO", ""), ("INVITE", SDP), ("UPDATE", ""), ("UPDATE", SDP), ("OPTIONS", "")], start=1
    ):
        gateway.heard.clear()
        gateway.say(gateway.inside(invite, method, cseq, f"X-Number: {cseq}", body=body))
        answer = await gateway.until("SIP/2.0 200")
        if method == "INVITE":
            gateway.say(gateway.inside(invite, "ACK", cseq))
        assert ("m=audio" in answer) == bool(body), method
    reasons = ['Reason: Q.850;cause=31;text="Normal, unspecified"', "Reason: SIP;cause=408"]
    gateway.say(gateway.inside(invite, "BYE", 9, *reasons))
    async with asyncio.timeout(10):
        outcome = await placed.finished
    assert outcome.ended_by is EndedBy.REMOTE
    inside = [message.start for message in outcome.messages if not message.start[0].isdigit()]
    assert inside == ["INFO", "re-INVITE", "ACK", "UPDATE", "UPDATE", "OPTIONS", "BYE"]
    for text, holds in (
        ("header Reason of BYE ~ /cause=31/", True),
        ("header Reason of BYE ~ /^SIP;cause=408/", True),
        ("header Reason of CANCEL present", False),
        ("header X-Number of re-INVITE = 2", True),
        ("header X-Number of UPDATE = 4", True),
        ("header X-Number of INVITE present", False),
        ("header X-Number of INFO = 1", True),
    ):
        condition = parse_condition(Text(text, NOWHERE))
        assert condition.evaluate([outcome]).passed is holds, text


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("hold", ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"])
async def test_hold_by_the_peer_is_seen_in_all_its_forms(
    phone: Phone, gateway: Gateway, method: str, hold: str
) -> None:
    gateway.react = gateway.answers()
    placed = phone.call(CallPlan(f"sip:far@127.0.0.1:{gateway.port}", media=QUIET, talk_for=None))
    await gateway.until("ACK")
    invite = await gateway.until("INVITE")
    said = []
    for cseq, line in ((1, hold), (2, "")):
        gateway.heard.clear()
        gateway.say(gateway.inside(invite, method, cseq, body=f"{SDP}{line}\r\n"))
        said.append(
            re.findall(r"^a=(sendrecv|recvonly|inactive)\r", await gateway.until("SIP/2.0 200"), re.M)
        )
        if method == "INVITE":
            gateway.say(gateway.inside(invite, "ACK", cseq))
    placed.hangup()
    async with asyncio.timeout(10):
        states = [reached.state for reached in (await placed.finished).states]
    assert said == [["inactive" if "inactive" in hold else "recvonly"], ["sendrecv"]]
    assert [s for s in states if "peer" in s] == [CallState.HELD_BY_PEER, CallState.RESUMED_BY_PEER]


async def test_an_answer_that_holds_from_the_start_is_seen(phone: Phone, gateway: Gateway) -> None:
    gateway.react = gateway.answers(body=f"{SDP}a=inactive\r\n")
    outcome = await called(phone, gateway)
    assert CallState.HELD_BY_PEER in [reached.state for reached in outcome.states]


# -- what is said


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
async def test_a_peer_that_promises_no_audio_is_not_blamed_for_its_silence(
    phone: Phone, gateway: Gateway, direction: str
) -> None:
    gateway.react = gateway.answers(body=f"{SDP}a={direction}\r\n")
    outcome = await called(phone, gateway, media=MediaPlan(play="silence"), talk_for=0.7)
    verdict, blame, reason = judge_call(outcome)
    assert (verdict, blame) == (Verdict.PASSED, None), reason
    assert reason.endswith("promised no audio.")
    assert (outcome.received.packets, outcome.received.heard_pct, outcome.received.gaps) == (0, None, ())
    assert bool(outcome.sent.packets) == (direction == "recvonly")


@pytest.mark.parametrize("damage", [("Content-Length: ", "Content-Length: 1"), ("Contact: <", "Contact <")])
async def test_a_200_that_cannot_be_used_is_not_called_silence(
    phone: Phone, gateway: Gateway, damage: tuple[str, str]
) -> None:
    good = gateway.answers()
    was, now = (part.encode() for part in damage)
    gateway.react = lambda text: [one.replace(was, now) for one in good(text)]
    phone.line.patience = 0.1
    outcome = await called(phone, gateway, ring_for=0.2)
    assert outcome.failure is Failure.MALFORMED
    said = judge_call(outcome)[2]
    assert "sent a message that could not be used: a 200 to our INVITE: " in said
    assert any(
        remark.startswith("A 200 to our INVITE came and could not be used: ") for remark in outcome.remarks
    )


async def test_an_options_whose_answer_cannot_be_used_is_not_called_silence(
    phone: Phone, gateway: Gateway
) -> None:
    gateway.react = lambda text: [gateway.answer(text, "200 OK").replace(b"Length: 0", b"Length: 9")]
    outcome = await phone.request("OPTIONS", f"sip:127.0.0.1:{gateway.port}", timeout=0.2).finished
    assert "could not be used: a 200 to our OPTIONS: Content-Length is 9" in judge_request(outcome)[2]


@pytest.mark.parametrize("account", [None, Account("far", "secret")])
async def test_a_challenged_bye_is_answered_or_told(
    phone: Phone, gateway: Gateway, account: Account | None
) -> None:
    gateway.react = gateway.answers(bye="407 Proxy Authentication Required")
    outcome = await called(phone, gateway, account=account)
    byes = [text for text in gateway.heard if text.startswith("BYE")]
    assert len(byes) == (1 if account is None else 2)
    why = "Our BYE was answered 407 Proxy Authentication Required, which our credentials do not satisfy"
    told = f"{why}: the call may still be up at 127.0.0.1:{gateway.port}."
    assert outcome.remarks == (() if account else (told,))


@pytest.mark.parametrize("what", ["call", "register", "request", "proxy"])
async def test_a_transport_that_is_not_spoken_is_refused_by_name(
    phone: Phone, gateway: Gateway, what: str
) -> None:
    uri = f"sip:far@127.0.0.1:{gateway.port};transport=sctp"
    if what == "call":
        said = judge_call(await phone.call(CallPlan(uri, media=QUIET)).finished)[2]
    elif what == "proxy":
        plan = CallPlan(f"sip:far@127.0.0.1:{gateway.port}", media=QUIET, proxy=uri)
        said = judge_call(await phone.call(plan).finished)[2]
    elif what == "register":
        registration = phone.register(uri, account=Account("far"))
        await registration.first
        said = judge_registration(registration.outcome())[2]
    else:
        said = judge_request(await phone.request("OPTIONS", uri).finished)[2]
    assert "was never sent: " in said
    assert "transport=sctp, but Callwright speaks udp, tcp, tls, ws and wss" in said
    assert gateway.heard == []


def test_a_failure_of_the_transport_is_told_once() -> None:
    peer = Address("192.0.2.9", 5061)
    hop = Hop(Transport.TLS, Address("192.0.2.1", 5061), peer)
    reasons = {
        f"TLS to {peer}: TLS with {peer} failed: its certificate has expired": Failure.TLS,
        f"TLS to {peer}: TLS to {peer}: TLS with p ({peer}) failed: its certificate has expired": Failure.TLS,
        f"TLS to {peer}: connection refused": Failure.UNREACHABLE,
    }
    for reason, failure in reasons.items():
        found, detail = failure_of(FailureCause.TRANSPORT, None, reason, hop, False)
        assert found is failure
        assert detail in ("its certificate has expired", "connection refused")


# -- inbound


def coming(phone: Phone, plan: AnswerPlan) -> asyncio.Future[CallOutcome]:
    """The outcome of the call that will come in."""
    came: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
    phone.on_call = lambda _: plan

    def taken(call: IncomingCall) -> None:
        call.finished.add_done_callback(lambda done: came.set_result(done.result()))

    phone.on_incoming = taken
    return came


@pytest.mark.parametrize(
    ("extra", "body", "status", "why"),
    [
        (("Require: flying",), SDP, 420, "it requires flying, which Callwright does not have"),
        ((multipart(SDP, "required")[0],), multipart(SDP, "required")[1], 415, "application/isup"),
        (("Content-Type: application/xml",), "<x/>", 415, "its body is application/xml"),
    ],
)
async def test_a_call_that_is_refused_for_its_form_counts_as_a_call(
    phone: Phone, gateway: Gateway, extra: tuple[str, ...], body: str, status: int, why: str
) -> None:
    address = await phone.listen("127.0.0.1", 0)
    came = coming(phone, AnswerPlan(media=QUIET))
    gateway.say(invite_to(address, gateway, *extra, body=body), (address.host, address.port))
    assert (await gateway.until("SIP/2.0")).startswith(f"SIP/2.0 {status} ")
    async with asyncio.timeout(10):
        outcome = await came
    assert (outcome.sip_code, outcome.failure, outcome.caller_identity) == (status, Failure.REFUSED, "far")
    assert why in judge_call(outcome)[2]


async def test_a_cancel_is_kept_with_its_reason(phone: Phone, gateway: Gateway) -> None:
    address = await phone.listen("127.0.0.1", 0)
    came = coming(phone, AnswerPlan(media=QUIET, answer_after=30))
    there = (address.host, address.port)
    kind, body = multipart(SDP)
    invite = invite_to(address, gateway, kind, body=body)
    gateway.say(invite, there)
    await gateway.until("SIP/2.0 180")
    cancel = invite.partition(b"\r\n\r\n")[0].replace(b"INVITE", b"CANCEL")
    cancel = re.sub(rb"\r\nContent-[^\r]*", b"", cancel)
    gateway.say(cancel + b'\r\nReason: SIP;cause=200;text="Call completed elsewhere"\r\n\r\n', there)
    async with asyncio.timeout(10):
        outcome = await came
    (kept,) = [message for message in outcome.messages if message.start == "CANCEL"]
    assert kept.values("Reason") == ['SIP;cause=200;text="Call completed elsewhere"']


async def test_what_came_and_was_no_call_is_remembered(phone: Phone, gateway: Gateway) -> None:
    address = await phone.listen("127.0.0.1", 0)
    invite = invite_to(address, gateway, body=SDP).replace(b"CSeq: 1 INVITE", b"CSeq: one INVITE")
    gateway.say(invite, (address.host, address.port))
    await gateway.until("SIP/2.0 400")
    (told,) = phone.unusable
    assert told.startswith(f"127.0.0.1:{gateway.port} sent a request that could not be used: CSeq")
    assert told.endswith("; it was answered 400")


def invite_to(address: Address, gateway: Gateway, *extra: str, body: str) -> bytes:
    kind = [] if any(line.startswith("Content-Type") for line in extra) else ["Content-Type: application/sdp"]
    lines = [
        f"INVITE sip:me@{address} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{gateway.port};branch=z9hG4bKcoming;rport",
        "Max-Forwards: 70",
        "From: <sip:far@example.com>;tag=far",
        f"To: <sip:me@{address}>",
        "Call-ID: coming",
        "CSeq: 1 INVITE",
        gateway.contact,
        *kind,
        *extra,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
