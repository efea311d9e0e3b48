"""Where the other side of a load may lead its ACK, BYE and RTP: the same rules in both loops."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.generator.load_numbers import Numbers
from callwright.generator.load_wire import Wire
from callwright.generator.loop import LoopConfig, MediaConfig, is_native, networks_of
from callwright.sip.transport import Address
from tests.generator.load_peer import Peer, counts, loop_to, needs_native, until

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


class Both:
    """One configuration in both loops; the native one may be missing."""

    def __init__(self, **settings: Any) -> None:
        self.peer = Peer()
        self.native = loop_to(self.peer, native=True, **settings) if is_native() else None
        more: dict[str, Any] = {"salt": 1, "seed": bytes(16), "messages": {}, "remote": self.peer.address}
        self.wire = Wire(LoopConfig(local=Address("127.0.0.1", 0), **more, **settings), Numbers())

    def permits(self, host: str, peer: str) -> bool:
        found = self.wire.permitted(host, Address(peer, 5060))
        if self.native is not None:
            from callwright.generator._loop import permits

            assert permits(self.native, (host, 4000), (peer, 5060)) is found, (host, peer)
        return found

    def leads_to(self, uri: bytes) -> tuple[str, int] | None:
        found = self.wire.next_hop(uri)
        if self.native is not None:
            from callwright.generator._loop import leads_to

            assert leads_to(self.native, uri) == found, uri
        return found

    def close(self) -> None:
        self.peer.close()
        self.wire.close()
        if self.native is not None:
            self.native.close()


@pytest.fixture
def near() -> Iterator[Both]:
    """One person's machine."""
    both = Both(networks=NETWORKS, own=(PBX,), near=True)
    yield both
    both.close()


@pytest.fixture
def hosted() -> Iterator[Both]:
    """Where strangers give the orders."""
    both = Both(networks=NETWORKS, own=(PBX,), near=False)
    yield both
    both.close()


@pytest.mark.parametrize(("there", "peer", "permitted"), CASES)
def test_a_peer_from_outside_never_leads_to_this_machine(
    near: Both, there: str, peer: str, permitted: bool
) -> None:
    assert near.permits(there, peer) is permitted


@pytest.mark.parametrize("there", ["127.0.0.1", "127.0.0.5", "127.0.0.9"])
def test_where_strangers_give_the_orders_loopback_is_permitted_to_nobody(hosted: Both, there: str) -> None:
    assert not hosted.permits(there, "127.0.0.1")
    assert not hosted.permits(there, OUTSIDE)


def test_our_own_pbx_is_permitted_with_its_port_alone(hosted: Both) -> None:
    assert hosted.leads_to(b"sip:x@127.0.0.5:5070") == PBX
    assert hosted.leads_to(b"sip:x@127.0.0.5:5071") is None
    assert hosted.leads_to(b"sip:x@127.0.0.5") is None
    assert hosted.leads_to(b"sip:x@127.0.0.6:5070") is None
    assert hosted.leads_to(f"sip:x@{NAMED}:5071;maddr={STRANGER}".encode()) == (NAMED, 5071)
    assert hosted.leads_to(f"sip:x@{STRANGER};maddr={NAMED}".encode()) is None


@pytest.mark.parametrize("there", ["0.0.0.0", "0.1.2.3", "224.0.1.75", "240.0.0.1", "255.255.255.255"])
def test_no_network_permits_what_no_host_has(there: str) -> None:
    both = Both(networks=networks_of(["0.0.0.0/0", "::/0"]))
    for form in (there, f"::ffff:{there}"):
        assert not both.permits(form, OUTSIDE)
    assert not both.permits("ff02::1", OUTSIDE)
    assert not both.permits("::", OUTSIDE)
    assert both.permits(STRANGER, OUTSIDE)
    both.close()


def test_both_loops_permit_the_same() -> None:
    addresses = st.one_of(
        st.ip_addresses(v=4),
        st.ip_addresses(v=6),
        st.ip_addresses(v=4).map(lambda address: ipaddress.IPv6Address(f"::ffff:{address}")),
        st.sampled_from([ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", NAMED, "0.0.0.1")]),
    ).map(str)
    pair = [
        Both(networks=NETWORKS, near=True),
        Both(networks=networks_of(["64.0.0.0/2", "8000::/1"]), near=False),
    ]

    @given(addresses, addresses)
    def compare(there: str, peer: str) -> None:
        for both in pair:
            both.permits(there, peer)

    compare()
    for both in pair:
        both.close()


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=needs_native)])
@pytest.mark.parametrize("port", [9, 53, 1023])
def test_rtp_goes_to_no_port_of_a_service(native: bool, port: int) -> None:
    peer = Peer()
    media = MediaConfig(mode="ports", host="127.0.0.1", low=20_000, high=29_999, payload=bytes(160))
    loop = loop_to(peer, native=native, media=media, near=True, hold=0.2)
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
