"""Where the other side of a load may lead its ACK, BYE and RTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.generator._loop import leads_to, permits
from callwright.generator.loop import MediaConfig, networks_of
from callwright.sip.transport import Address
from tests.generator.load_peer import Peer, counts, loop_to, until

OUTSIDE, STRANGER, NAMED = "198.51.100.1", "203.0.113.9", "192.0.2.7"
PBX = Address("127.0.0.5", 5070)
NETWORKS = networks_of([f"{NAMED}/32", "2001:db8::/32"])
CASES = [
    (NAMED, OUTSIDE, True),
    (STRANGER, OUTSIDE, False),
    ("127.0.0.1", OUTSIDE, False),
    ("127.0.0.5", OUTSIDE, False),
    ("::1", OUTSIDE, False),
    ("::ffff:127.0.0.1", OUTSIDE, False),
    (f"::ffff:{NAMED}", OUTSIDE, True),
    ("2001:db8::9", OUTSIDE, True),
    ("2001:db9::9", OUTSIDE, False),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.9", "127.0.0.1", True),
    ("127.0.0.1", "::1", True),
    ("10.0.0.1", "127.0.0.1", False),
]


class Led:
    """A loop with its rules, and what its natives say of them."""

    def __init__(self, **settings: Any) -> None:
        self.peer = Peer()
        self.loop = loop_to(self.peer, **settings)

    def permits(self, host: str, peer: str) -> bool:
        return permits(self.loop, (host, 4000), (peer, 5060))

    def leads_to(self, uri: bytes) -> tuple[str, int] | None:
        return leads_to(self.loop, uri)

    def close(self) -> None:
        self.peer.close()
        self.loop.close()


@pytest.fixture
def near() -> Iterator[Led]:
    """One person's machine."""
    led = Led(networks=NETWORKS, own=(PBX,), near=True)
    yield led
    led.close()


@pytest.fixture
def hosted() -> Iterator[Led]:
    """Where strangers give the orders."""
    led = Led(networks=NETWORKS, own=(PBX,), near=False)
    yield led
    led.close()


@pytest.mark.parametrize(("there", "peer", "permitted"), CASES)
def test_a_peer_from_outside_never_leads_to_this_machine(
    near: Led, there: str, peer: str, permitted: bool
) -> None:
    assert near.permits(there, peer) is permitted


@pytest.mark.parametrize("there", ["127.0.0.1", "127.0.0.5", "127.0.0.9"])
def test_where_strangers_give_the_orders_loopback_is_permitted_to_nobody(hosted: Led, there: str) -> None:
    assert not hosted.permits(there, "127.0.0.1")
    assert not hosted.permits(there, OUTSIDE)


def test_our_own_pbx_is_permitted_with_its_port_alone(hosted: Led) -> None:
    assert hosted.leads_to(b"sip:x@127.0.0.5:5070") == PBX
    assert hosted.leads_to(b"sip:x@127.0.0.5:5071") is None
    assert hosted.leads_to(b"sip:x@127.0.0.5") is None
    assert hosted.leads_to(b"sip:x@127.0.0.6:5070") is None
    assert hosted.leads_to(f"sip:x@{NAMED}:5071;maddr={STRANGER}".encode()) == (NAMED, 5071)
    assert hosted.leads_to(f"sip:x@{STRANGER};maddr={NAMED}".encode()) is None


@pytest.mark.parametrize("there", ["0.0.0.0", "0.1.2.3", "224.0.1.75", "240.0.0.1", "255.255.255.255"])
def test_no_network_permits_what_no_host_has(there: str) -> None:
    led = Led(networks=networks_of(["0.0.0.0/0", "::/0"]))
    for form in (there, f"::ffff:{there}"):
        assert not led.permits(form, OUTSIDE)
    assert not led.permits("ff02::1", OUTSIDE)
    assert not led.permits("::", OUTSIDE)
    assert led.permits(STRANGER, OUTSIDE)
    led.close()


def six(text: str) -> ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    return address if address.version == 6 else ipaddress.IPv6Address(f"::ffff:{address}")


def by_rule(there: str, peer: str, networks: list[str], *, near: bool) -> bool:
    """The rule again, on Python's own addresses."""
    target, speaker = six(there), six(peer)
    four = target.ipv4_mapped
    no_host = four.packed[0] in (0, *range(224, 256)) if four else target.is_multicast or int(target) == 0
    if no_host:
        return False
    loopback = [(one.ipv4_mapped or one).is_loopback for one in (target, speaker)]
    found = [ipaddress.ip_network(text) for text in networks]
    return (near and all(loopback)) or any(
        (four in network if four else False) if network.version == 4 else target in network
        for network in found
    )


def test_any_address_is_permitted_by_network_or_by_nearness_alone() -> None:
    addresses = st.one_of(
        st.ip_addresses(v=4),
        st.ip_addresses(v=6),
        st.ip_addresses(v=4).map(lambda address: ipaddress.IPv6Address(f"::ffff:{address}")),
        st.sampled_from([ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", NAMED, "0.0.0.1")]),
    ).map(str)
    rules = [([f"{NAMED}/32", "2001:db8::/32"], True), (["64.0.0.0/2", "8000::/1"], False)]
    loops = [Led(networks=networks_of(networks), near=near) for networks, near in rules]

    @given(addresses, addresses)
    def compare(there: str, peer: str) -> None:
        for led, (networks, near) in zip(loops, rules, strict=True):
            assert led.permits(there, peer) is by_rule(there, peer, networks, near=near)

    compare()
    for led in loops:
        led.close()


@pytest.mark.parametrize("port", [9, 53, 1023])
def test_rtp_goes_to_no_port_of_a_service(port: int) -> None:
    peer = Peer()
    media = MediaConfig(mode="ports", host="127.0.0.1", low=20_000, high=29_999, payload=bytes(160))
    loop = loop_to(peer, media=media, near=True, hold=0.2)
    (invite,) = until(loop, peer.take)
    sdp = f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0\r\n"
    peer.respond(invite, "200 OK", extra=peer.contact(), body=sdp)
    requests: list[bytes] = []

    def bye() -> bool:
        requests.extend(peer.take())
        return any(request.startswith(b"BYE ") for request in requests)

    until(loop, bye)
    assert "rtp_sent" not in counts(loop)
    loop.close()
    peer.close()
