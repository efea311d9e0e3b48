"""Kamailio as registrar that keeps flows and gives GRUUs, and as edge proxy with Path before our PBX."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from callwright.outcome.judgement import judge_call
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, PhoneConfig
from callwright.sip.transport import Transport
from tests.interop.peers import LOOPBACK, WHO_IS_IT, kamailio

pytestmark = pytest.mark.peer

MODULES = ("tm", "sl", "outbound", "rr", "path", "pv", "maxfwd", "textops", "siputils", "xlog")
REGISTRAR = (*MODULES, "usrloc", "registrar", "auth", "stun")
PARAMETERS = """
modparam("registrar", "use_path", 1)
modparam("registrar", "gruu_enabled", 1)
modparam("registrar", "outbound_mode", 1)
modparam("registrar", "regid_mode", 1)
modparam("registrar", "flow_timer", 20)
"""
EDGE_PARAMETERS = """
modparam("path", "enable_r2", 0)
"""
EDGE = """
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (loose_route()) {
        xlog("L_NOTICE", "ROUTED $rm to $du\\n");
        if (is_method("INVITE")) { record_route(); }
        t_relay();
        exit;
    }
    if (is_method("REGISTER")) { add_path(); }
    if (is_method("INVITE")) { record_route(); }
    $du = "sip:127.0.0.1:PBX_PORT";
    t_relay();
}
"""


@pytest.fixture(autouse=True)
def module_of_outbound() -> None:
    """Debian packages it by itself."""
    if not list(Path("/usr/lib").glob("*/kamailio/modules/outbound.so")) and "CI" not in os.environ:
        pytest.skip("Kamailio's outbound module is not installed (kamailio-outbound-modules)")


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(str(request.param).upper())


async def test_kamailio_keeps_the_flow_gives_a_gruu_and_answers_keep_alives(
    tmp_path: Path, transport: Transport
) -> None:
    routing = "request_route {" + WHO_IS_IT + "}"
    with kamailio(tmp_path, routing, modules=REGISTRAR, parameters=PARAMETERS) as registrar:
        config = PhoneConfig(bind=LOOPBACK, user="bob", transport=transport)
        async with Phone(config) as phone, asyncio.timeout(30):
            made = phone.register(
                f"sip:{LOOPBACK}:{registrar.port}",
                account=Account("bob", "secret"),
                outbound=1,
                gruu=True,
                keepalive=1.0,
            )
            assert await made.first, (made.outcome(), registrar.log)
            while made.outcome().keepalives_answered < 2:
                await asyncio.sleep(0.05)
            outcome = made.outcome()
            assert await made.unregister()
    assert outcome.outbound, registrar.log
    assert ";gr=urn:uuid:" in (outcome.public_gruu or "")
    assert outcome.flow_failures == 0


async def test_a_call_reaches_a_phone_behind_an_edge_proxy_by_its_path(
    tmp_path: Path, transport: Transport
) -> None:
    accounts = [PbxAccount("bob", "secret"), PbxAccount("alice", "secret")]
    listeners = (PbxListener(Transport.UDP), PbxListener(Transport.TCP))
    async with Pbx(PbxConfig("pbx.test", accounts, listeners)) as pbx:
        routing = EDGE.replace("PBX_PORT", str(pbx.address.port))
        with kamailio(tmp_path, routing, modules=MODULES, parameters=EDGE_PARAMETERS) as edge:
            await _call_by_the_edge(pbx, f"{LOOPBACK}:{edge.port}", transport)
            edge.wait_for("ROUTED INVITE", "ROUTED BYE")


async def _call_by_the_edge(pbx: Pbx, edge: str, transport: Transport) -> None:
    target = f"{LOOPBACK}:{pbx.address.port}"
    bob_config = PhoneConfig(bind=LOOPBACK, user="bob", transport=transport)
    async with (
        Phone(bob_config) as bob,
        Phone(PhoneConfig(bind=LOOPBACK, user="alice")) as alice,
        asyncio.timeout(30),
    ):
        bob.on_call = lambda received: AnswerPlan()
        made = bob.register(
            f"sip:{target}", account=Account("bob", "secret"), outbound=1, gruu=True, proxy=f"sip:{edge}"
        )
        assert await made.first, made.outcome()
        (binding,) = pbx.bindings("bob")
        assert len(binding.path) == 1
        assert ";ob" in binding.path[0]
        assert made.outcome().outbound
        plan = CallPlan(f"sip:bob@{target}", account=Account("alice", "secret"), talk_for=1.5)
        placed = await alice.call(plan).finished
    assert judge_call(placed)[0] == "passed", placed
