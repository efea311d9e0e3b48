"""Kamailio between our phones: registrar with digest, proxy with Record-Route that challenges INVITE."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from callwright.net.tap import Packet
from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call
from callwright.outcome.terms import EndedBy
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Transport
from tests.interop.peers import LOOPBACK, WHO_IS_IT, Kamailio, kamailio, run_callwright

pytestmark = pytest.mark.peer

MODULES = (
    "tm",
    "sl",
    "rr",
    "pv",
    "maxfwd",
    "usrloc",
    "registrar",
    "textops",
    "siputils",
    "auth",
    "xlog",
)
WEBSOCKET = """
tcp_accept_no_cl=yes
event_route[xhttp:request] {
    if ($hu =~ "^/ws" && $hdr(Upgrade) =~ "websocket") { ws_handle_handshake(); exit; }
    xhttp_reply("404", "Not Found", "", "");
}
"""
ROUTING = (
    """
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (has_totag()) {
        if (loose_route()) {
            xlog("L_NOTICE", "ROUTED $rm $hdr(CSeq) of $fU over $proto\\n");
            t_relay();
            exit;
        }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        xlog("L_NOTICE", "UNROUTED $rm\\n");
        sl_send_reply("403", "Within a call only by the route set");
        exit;
    }
    t_check_trans();
"""
    + WHO_IS_IT
    + """
    consume_credentials();
    record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    t_relay();
}
"""
)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Kamailio]:
    with kamailio(tmp_path, WEBSOCKET + ROUTING, modules=(*MODULES, "xhttp", "websocket")) as running:
        yield running


@pytest.fixture(params=["udp", "tcp", "ws"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(str(request.param).upper())


class Ladder:
    """A tap that remembers what a phone said in SIP."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, packets: Sequence[Packet]) -> None:
        self.said += [p.data.decode() for p in packets if p.kind == "sip" and p.direction == "out"]

    def routes(self, method: str) -> list[str]:
        """The Route headers of every request of that method."""
        found = [text for text in self.said if text.startswith(f"{method} ")]
        return [line for text in found for line in text.split("\r\n") if line.startswith("Route:")]


def phone(transport: Transport, user: str, *taps: Ladder) -> Phone:
    return Phone(PhoneConfig(bind=LOOPBACK, user=user, transport=transport), taps=taps)


async def call_through(
    proxy: Kamailio, transport: Transport, plan: AnswerPlan, talk_for: float | None, **wishes: object
) -> tuple[CallOutcome, CallOutcome, Ladder, Ladder]:
    """Bob registers, Alice calls him; both outcomes, and what both said."""
    ladders = Ladder(), Ladder()
    registrar = f"sip:{LOOPBACK}:{proxy.port}"
    async with phone(transport, "bob", ladders[1]) as bob, phone(transport, "alice", ladders[0]) as alice:
        taken: asyncio.Queue[None] = asyncio.Queue()
        bob.on_call = lambda received: plan
        bob.on_incoming = lambda call: taken.put_nowait(None)
        binding = bob.register(registrar, account=Account("bob", "secret"))
        assert await binding.first
        placed = alice.call(
            CallPlan(
                f"sip:bob@{LOOPBACK}:{proxy.port}",
                account=Account("alice", "secret"),
                talk_for=talk_for,
                **wishes,  # type: ignore[arg-type]
            )
        )
        async with asyncio.timeout(30):
            await taken.get()
            received = bob.calls[0]
            outcomes = await placed.finished, await received.finished
        await binding.unregister()
    return *outcomes, *ladders


async def test_a_call_follows_the_record_route_and_the_caller_hangs_up(
    proxy: Kamailio, transport: Transport
) -> None:
    ours, theirs, alice, _ = await call_through(proxy, transport, AnswerPlan(), 2.0)
    assert judge_call(ours)[0] == judge_call(theirs)[0] == "passed", ours.reason
    assert ours.sip_code == 200
    assert (ours.ended_by, theirs.ended_by) == (EndedBy.LOCAL, EndedBy.REMOTE)
    for method in ("ACK", "BYE"):
        assert any(f"sip:{LOOPBACK}:{proxy.port}" in route for route in alice.routes(method)), method
    proxy.wait_for("ROUTED ACK", "ROUTED BYE")
    proxy.wait_for(f"over {transport.value.lower()}")
    assert "UNROUTED" not in proxy.log
    assert f"over {transport.value.lower()}" in proxy.log


async def test_the_callee_hangs_up_through_the_proxy(proxy: Kamailio, transport: Transport) -> None:
    ours, theirs, _, bob = await call_through(proxy, transport, AnswerPlan(talk_for=1.5), None)
    assert ours.sip_code == 200
    assert (ours.ended_by, theirs.ended_by) == (EndedBy.REMOTE, EndedBy.LOCAL)
    assert bob.routes("BYE")
    proxy.wait_for("ROUTED BYE")
    assert "UNROUTED" not in proxy.log


async def test_hold_and_resume_follow_the_route_set(proxy: Kamailio, transport: Transport) -> None:
    ours, _, alice, _ = await call_through(proxy, transport, AnswerPlan(), 4.0, hold_at=1.0, hold_for=1.0)
    assert judge_call(ours)[0] == "passed", ours.reason
    invites = [text for text in alice.said if text.startswith("INVITE ") and "\r\nRoute:" in text]
    assert len(invites) >= 2, "the hold and the resumption"
    assert "UNROUTED" not in proxy.log


async def test_a_refusal_comes_back_through_the_proxy(proxy: Kamailio, transport: Transport) -> None:
    plan = AnswerPlan(MediaPlan(enabled=False), ring_after=0.2, answer_after=0.4, reject=486)
    ours, _, _, _ = await call_through(proxy, transport, plan, 2.0)
    assert ours.sip_code == 486


@pytest.mark.parametrize("transport_name", ["udp", "tcp"])
def test_the_command_registers_and_is_told_of_a_wrong_password(
    proxy: Kamailio, tmp_path: Path, transport_name: str
) -> None:
    common = ("register", f"sip:1001@{LOOPBACK}:{proxy.port}", "--transport", transport_name, "--json")
    good = run_callwright(tmp_path, *common, "--password", "secret")
    assert good.process.returncode == 0, good.log
    assert good.document()["sip_code"] == 200
    bad = run_callwright(tmp_path, *common, "--password", "wrong")
    assert bad.process.returncode == 1, bad.log
    assert bad.document()["sip_code"] == 401
