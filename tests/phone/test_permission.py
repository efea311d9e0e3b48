"""The policy is asked about the very addresses that packets will go to, whatever named them."""

from __future__ import annotations

import ast
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

import callwright
from callwright.net.resolver import ResolutionFailed
from callwright.phone.permission import NotPermitted, Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import PhoneConfig
from callwright.policy.destination import Purpose, Rules, Target, parse_allow
from callwright.policy.remedy import Remedy
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import SipSyntaxError, Uri

HERE = Address("192.0.2.1", 5060)
PERMITTED, STRANGER, INSIDE = "198.51.100.1", "203.0.113.9", "10.9.9.9"
NAMES = {
    "permitted.test": [PERMITTED],
    "stranger.test": [STRANGER],
    "inside.test": [INSIDE],
    "both.test": [PERMITTED, STRANGER],
    "sbc.test": ["100.64.0.7"],
    "link.test": ["169.254.169.254"],
    "six.test": ["fe80::1"],
    "host.test": ["127.0.0.1"],
}
RULES = Rules(targets=(parse_allow("permitted.test"), parse_allow(PERMITTED)))
HOSTED = Rules(targets=tuple(parse_allow(name) for name in NAMES), embedded=False)


class Names:
    """DNS without a network; `table` may change between two questions."""

    def __init__(self, table: dict[str, list[str]] = NAMES) -> None:
        self.table = table
        self.asked: list[str] = []

    def _find(self, host: str) -> list[str]:
        self.asked.append(host)
        try:
            return [str(ipaddress.ip_address(host.strip("[]")))]
        except ValueError:
            return self.table.get(host, [])

    async def hops(self, uri: Uri) -> list[Hop]:
        port = uri.port or 5060
        return [Hop(Transport.UDP, HERE, Address(host, port)) for host in self._find(uri.destination)]

    async def addresses(self, uri: Uri) -> list[Address]:
        return [Address(host, uri.port or 5060) for host in self._find(uri.host)]


def worded(remedy: Remedy) -> str:
    return f"({remedy.kind} {remedy.place})"


async def ask(
    target: str, proxy: str | None = None, *, rules: Rules = RULES, purpose: Purpose = Purpose.RUN
) -> str:
    """Where a request would go, or why it does not."""
    try:
        way = await Permission(purpose, rules, worded).way(
            Uri.parse(target), Names(), Uri.parse(proxy) if proxy else None
        )
    except NotPermitted as refused:
        return str(refused)
    assert all(type(hop) is PermittedHop for hop in way.hops)
    return ", ".join(hop.remote.host for hop in way.hops)


@pytest.mark.parametrize(
    ("target", "proxy"),
    [
        ("sip:x@stranger.test", None),
        (f"sip:x@{STRANGER}", None),
        (f"sip:x@[::ffff:{STRANGER}]", None),
        (f"sip:x@permitted.test;maddr={STRANGER}", None),
        (f"sip:x@permitted.test:5080;transport=tcp;MADDR={STRANGER};lr", None),
        (f"sip:x@permitted.test;maddr=[::ffff:{STRANGER}]", None),
        ("sip:x@permitted.test;maddr=stranger.test", None),
        ("sip:x@stranger.test;maddr=permitted.test", None),
        ("sip:permitted.test;maddr=stranger.test", None),
        ("sip:x@both.test", None),
        ("sip:x@permitted.test;maddr=both.test", None),
        ("sip:x@permitted.test", "sip:stranger.test"),
        ("sip:x@permitted.test", f"sip:permitted.test;maddr={STRANGER}"),
        ("sip:x@permitted.test", "sip:stranger.test;maddr=permitted.test"),
        ("sip:x@stranger.test", "sip:permitted.test"),
        (f"sip:x@{STRANGER}", "sip:permitted.test"),
        ("sip:x@permitted.test;maddr=stranger.test", f"sip:{STRANGER}"),
        (f"sip:x@permitted.test;maddr={STRANGER}", "sip:permitted.test"),
        ("sip:x@permitted.test;maddr=%73tranger.test", None),
        ("sip:x@unknown.test", "sip:permitted.test"),
    ],
)
async def test_no_part_of_a_uri_and_no_proxy_leads_to_a_stranger(target: str, proxy: str | None) -> None:
    told = await ask(target, proxy)
    assert "not permitted" in told
    assert "(permit_place " in told


async def test_a_refused_maddr_is_told_beside_the_host_that_was_read() -> None:
    typed = Rules(typed=("permitted.test",))
    assert await ask(f"sip:x@permitted.test;maddr={STRANGER}", rules=typed, purpose=Purpose.CALL) == (
        f"The maddr of permitted.test sends requests to {STRANGER}. {STRANGER} was not named on the "
        f"command line, and is neither loopback nor private. (type_place {STRANGER})"
    )


@pytest.mark.parametrize(
    ("target", "proxy"),
    [
        ("sip:x@permitted.test", None),
        (f"sip:x@{PERMITTED}", None),
        ("sip:x@permitted.test;maddr=permitted.test", None),
        (f"sip:x@permitted.test;maddr={PERMITTED}", None),
        ("sip:x@permitted.test", f"sip:{PERMITTED}:5080"),
        ("sip:x@inside.test", "sip:permitted.test"),  # asked about by its address, like any other
        ("tel:+4312345", "sip:permitted.test"),
    ],
)
async def test_what_is_permitted_is_reached(target: str, proxy: str | None) -> None:
    assert await ask(target, proxy) == PERMITTED


@pytest.mark.parametrize("proxy", [None, "sip:permitted.test", f"sip:{PERMITTED}"])
async def test_the_number_is_asked_about_with_a_proxy_too(proxy: str | None) -> None:
    assert "112 is an emergency number" in await ask("sip:112@permitted.test", proxy)
    assert "112 is an emergency number" in await ask("tel:112", proxy or "sip:permitted.test")


@pytest.mark.parametrize(
    "target",
    [
        "tel:43123;phone-context=+1",
        "tel:43123;isub=1;PHONE-context=+1",
        "sip:43123;phone-context=+1@permitted.test",
        "sip:43123%3Bphone-context=%2B1@permitted.test",
        "sip:43123@permitted.test;user=phone;phone-context=+1",
        "sip:43123;phone-context=example.com@permitted.test",
    ],
)
async def test_a_target_for_a_number_means_it_in_its_own_context(target: str) -> None:
    only = Rules(
        targets=(Target(host="permitted.test", number="43123"), Target(host=PERMITTED, number="43123"))
    )
    assert "not permitted" in await ask(target, "sip:permitted.test", rules=only)
    assert await ask("tel:43123", "sip:permitted.test", rules=only) == PERMITTED
    assert "112" in await ask(target.replace("43123", "112"), "sip:permitted.test")


async def test_a_number_permitted_at_one_host_is_not_sent_by_way_of_another() -> None:
    rules = Rules(targets=(Target(host="permitted.test", number="112"), Target(host="both.test")))
    assert await ask("sip:112@permitted.test", rules=rules) == PERMITTED
    assert "112 is an emergency number" in await ask("sip:112@permitted.test", "sip:both.test", rules=rules)


async def test_caps_of_target_and_proxy_both_hold() -> None:
    home, way_there = Target(host="permitted.test", rate=1), Target(host="both.test", rate=2)
    permission = Permission(Purpose.RUN, Rules(targets=(home, way_there)))
    way = await permission.way(Uri.parse("sip:x@permitted.test"), Names(), Uri.parse("sip:both.test"))
    assert set(way.targets) == {home, way_there}


async def test_what_dns_says_at_the_call_counts_not_what_it_said_before() -> None:
    names = Names({"inside.test": [INSIDE]})
    permission = Permission(Purpose.RUN, Rules())
    assert (await permission.way(Uri.parse("sip:x@inside.test"), names)).hops
    names.table = {"inside.test": [STRANGER]}
    with pytest.raises(NotPermitted, match=STRANGER):
        await permission.way(Uri.parse("sip:x@inside.test"), names)


async def test_each_hop_is_asked_about_with_its_own_port() -> None:
    """SRV may name our PBX first and another service of its host second."""

    class Services(Names):
        async def hops(self, uri: Uri) -> list[Hop]:
            return [Hop(Transport.UDP, HERE, Address("127.0.0.1", port)) for port in (5060, 22)]

    rules = Rules(own=(("127.0.0.1", 5060),), embedded=False)
    with pytest.raises(NotPermitted):
        await Permission(Purpose.RUN, rules).way(Uri.parse("sip:x@pbx.test"), Services())


@pytest.mark.parametrize("name", ["inside.test", "sbc.test", "link.test", "six.test", "host.test"])
async def test_a_permitted_name_does_not_lead_inside_where_strangers_give_the_orders(name: str) -> None:
    (address,) = NAMES[name]
    assert "not permitted" in await ask(f"sip:x@{name}", rules=HOSTED)
    named = Rules(targets=(parse_allow(address),), embedded=False)
    assert await ask(f"sip:x@{name}", rules=named) == address


async def test_a_name_that_was_typed_or_allowed_reaches_an_sbc_in_carrier_grade_nat_space() -> None:
    allowed = Rules(targets=(parse_allow("sbc.test"),))
    assert await ask("sip:x@sbc.test", rules=allowed) == "100.64.0.7"
    typed = Rules(typed=("sbc.test",))
    assert await ask("sip:x@sbc.test", rules=typed, purpose=Purpose.CALL) == "100.64.0.7"
    assert "not permitted" in await ask("sip:x@sbc.test", rules=Rules())


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[::1]"],
)
async def test_no_spelling_of_an_address_leads_to_this_machine(host: str) -> None:
    """What a resolver makes of it is asked about."""
    async with Phone(PhoneConfig(), permission=Permission(Purpose.RUN, Rules(embedded=False))) as phone:
        for uri in (f"sip:x@{host}:5060", f"sip:x@permitted.test:5060;maddr={host}"):
            with pytest.raises((NotPermitted, ResolutionFailed, SipSyntaxError)):
                await phone.router.way(Uri.parse(uri))


# -- where a peer leads


def led(to: str, *, along: str = PERMITTED, rules: Rules = RULES, name: str = "", port: int = 5060) -> str:
    permission = Permission(Purpose.RUN, rules, worded)
    try:
        return permission.led(hop(to, port), hop(along), name).remote.host
    except NotPermitted as refused:
        return str(refused)


def hop(host: str, port: int = 5060) -> Hop:
    return Hop(Transport.UDP, HERE, Address(host, port))


def test_a_name_is_followed_only_when_it_or_its_address_is_permitted() -> None:
    assert led(STRANGER, name="sbc2.permitted.test") == (
        f"The peer {PERMITTED} wants requests at sbc2.permitted.test ({STRANGER}): neither the peer itself "
        "nor permitted. (permit_place sbc2.permitted.test)"
    )
    by_name = Rules(targets=(parse_allow("*.permitted.test"),))
    assert led(STRANGER, name="sbc2.permitted.test", rules=by_name) == STRANGER
    by_address = Rules(targets=(parse_allow(STRANGER),))
    assert led(STRANGER, name="sbc2.permitted.test", rules=by_address) == STRANGER
    assert "this machine itself" in led("127.0.0.1", name="localhost")


@pytest.mark.parametrize("address", ["10.1.1.1", "100.64.9.9", "169.254.169.254", "fe80::9", "192.0.0.192"])
def test_a_permitted_name_of_a_peer_does_not_lead_inside_for_strangers(address: str) -> None:
    rules = Rules(targets=(parse_allow("*.permitted.test"),), embedded=False)
    told = led(address, name="sbc2.permitted.test", rules=rules)
    assert f"(permit_place {address})" in told
    network = Rules(targets=(*rules.targets, parse_allow(address)), embedded=False)
    assert led(address, name="sbc2.permitted.test", rules=network) == address


async def test_the_callee_of_a_typed_call_is_followed_to_public_addresses_alone() -> None:
    permission = Permission(Purpose.CALL, Rules(typed=("permitted.test",)))
    await permission.way(Uri.parse("sip:x@permitted.test"), Names())
    assert permission.led(hop(STRANGER), hop(PERMITTED), "stranger.test").remote.host == STRANGER
    for inside in ("127.0.0.1", "100.64.0.7", "169.254.169.254"):
        with pytest.raises(NotPermitted):
            permission.led(hop(inside), hop(PERMITTED), "sbc.test")


# -- nothing sends without it


def test_gate_of_a_call_asks_about_the_host_once_and_about_every_port() -> None:
    permits = Permission(Purpose.CALL, Rules()).gate("203.0.113.7")
    assert permits(("203.0.113.7", 30_000))
    assert not permits(("203.0.113.7", 53))  # a=rtcp:53
    assert permits(("203.0.113.7", 30_001))
    assert not permits(("198.51.100.9", 30_000))
    permits = Permission(Purpose.CALL, Rules()).gate("203.0.113.7")
    assert not permits(("203.0.113.7", 53))
    assert permits(("203.0.113.7", 30_000))


def test_strangers_do_not_fill_the_memory_of_a_gate() -> None:
    permits = Permission(Purpose.CALL, Rules()).gate("203.0.113.7")
    assert permits(("203.0.113.7", 30_000))
    for number in range(2_000):
        assert not permits((f"198.51.{number // 256}.{number % 256}", 30_000))
    assert permits(("203.0.113.7", 30_000))


def test_a_permitted_hop_equals_the_flow_that_comes_back_over_it() -> None:
    flow = hop(PERMITTED)
    permitted = Permission(rules=RULES).led(flow, flow)
    assert (permitted == flow, flow == permitted, hash(permitted) == hash(flow)) == (True, True, True)
    assert permitted != hop(STRANGER)
    assert permitted != "a hop"


def calls_of(name: str) -> Iterator[tuple[str, ast.Call]]:
    root = Path(callwright.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                if called == name:
                    yield str(path.relative_to(root)), node


def test_the_permission_alone_makes_permitted_hops() -> None:
    assert [where for where, _ in calls_of("PermittedHop")] == ["phone/permission.py"]


def test_no_permitted_hop_is_bent_to_another_address_and_none_is_cast() -> None:
    """`dataclasses.replace` keeps the type. A binding's flow is no permitted hop yet."""
    root = Path(callwright.__file__).parent
    for where, node in calls_of("replace"):
        if "remote" in [keyword.arg for keyword in node.keywords] and where != "pbx/registrar.py":
            assert "Hop" not in (root / where).read_text(encoding="utf-8"), f"{where}:{node.lineno}"
    assert [where for where, node in calls_of("cast") if "Hop" in ast.unparse(node)] == []


def test_every_endpoint_asks_before_it_follows_a_peer() -> None:
    """Without `hop_for` an endpoint follows numeric addresses unasked: that is for simulations."""
    made = list(calls_of("EndpointConfig"))
    assert len(made) >= 2
    for where, node in made:
        assert "hop_for" in [keyword.arg for keyword in node.keywords], f"{where}:{node.lineno}"
